// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/runtime_dir.h"
#include "vmm/control/runtime.h"

START_TEST(test_claim_and_release)
{
	struct runtime_name name;
	struct stat st;
	char want[128];
	ck_assert_int_eq(runtime_claim(&name, "one"), 0);
	snprintf(want, sizeof(want), "%s/one.lock", directory);
	ck_assert_str_eq(name.path, want);
	/* Whoever takes the guest's ebb over cannot write another PID there. */
	ck_assert_int_eq(fcntl(name.fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	ck_assert_int_eq(stat(directory, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0700);
	ck_assert_int_eq(files_left(), 1);
	runtime_release(&name);
	ck_assert_int_eq(files_left(), 0);
	runtime_release(&name);
	ck_assert_str_eq(log_text(), "");
}
END_TEST

/* Another process's variable is in messages alone: the files, and what is told of them, are where they are. */
START_TEST(test_what_is_shown_is_no_path)
{
	struct runtime_name name;

	setenv(RUNTIME_SHOWN, "/elsewhere", 1);
	ck_assert_int_eq(runtime_claim(&name, "one"), 0);
	ck_assert_int_eq(strncmp(name.path, directory, strlen(directory)), 0);
	runtime_release(&name);
	chmod(directory, 0755);
	ck_assert_int_lt(runtime_connect("one"), 0);
	assert_said("/elsewhere is open to other users");
	unsetenv(RUNTIME_SHOWN);
}
END_TEST

START_TEST(test_in_use)
{
	struct runtime_name first, second;
	char pid[32];
	ck_assert_int_eq(runtime_claim(&first, "one"), 0);
	ck_assert_int_eq(runtime_claim(&second, "one"), -EBUSY);
	assert_said("\"one\" is in use by process");
	snprintf(pid, sizeof(pid), "process %d;", getpid());
	ck_assert_ptr_nonnull(strstr(said, pid));
	/* Having failed, it holds nothing and takes nothing away. */
	runtime_release(&second);
	ck_assert_int_eq(files_left(), 1);
	ck_assert_int_eq(runtime_claim(&second, "two"), 0);
	runtime_release(&second);
	runtime_release(&first);
	ck_assert_int_eq(runtime_claim(&second, "one"), 0);
	runtime_release(&second);
	ck_assert_int_eq(files_left(), 0);
}
END_TEST

/* The keeper's name is no guest's, and its files are in no guest's way. */
START_TEST(test_keeper)
{
	struct runtime_name keeper, second, guest;
	struct runtime_guest *guests;
	ck_assert_int_eq(runtime_claim(&keeper, RUNTIME_KEEPER), 0);
	int listener = runtime_listen(&keeper);
	ck_assert_int_ge(listener, 0);
	ck_assert_int_eq(runtime_claim(&second, RUNTIME_KEEPER), -EBUSY);
	assert_said("a keeper of this user runs already: process");
	ck_assert_int_eq(runtime_claim(&guest, "keeper"), 0);
	ck_assert_int_eq(runtime_list(&guests), 1);
	ck_assert_str_eq(guests[0].name, "keeper");
	free(guests);
	int fd = runtime_connect(RUNTIME_KEEPER);
	ck_assert_int_ge(fd, 0);
	close(fd);
	close(listener);
	runtime_release(&keeper);
	ck_assert_int_eq(runtime_connect(RUNTIME_KEEPER), -ENOENT);
	ck_assert_int_eq(files_left(), 1);
	runtime_release(&guest);
	ck_assert_int_eq(files_left(), 0);
}
END_TEST

static void note_start(void *ctx, const char *guest)
{
	char *names = ctx;
	strcat(strcat(names, guest), " ");
}

START_TEST(test_watch)
{
	struct runtime_name keeper, guest;
	char names[256] = "";
	ck_assert_int_eq(runtime_claim(&keeper, RUNTIME_KEEPER), 0);
	int fd = runtime_watch(&keeper);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(runtime_started(fd, note_start, names), 0);
	ck_assert_str_eq(names, "");
	ck_assert_int_eq(runtime_claim(&guest, "one.two"), 0);
	int listener = runtime_listen(&guest);
	int console = runtime_listen_console(&guest);
	ck_assert_int_eq(runtime_started(fd, note_start, names), 0);
	ck_assert_str_eq(names, "one.two ");
	close(listener);
	close(console);
	runtime_release(&guest);
	ck_assert_int_eq(runtime_started(fd, note_start, names), 0);
	ck_assert_str_eq(names, "one.two ");
	ck_assert(!runtime_is_gone(&keeper));
	close(fd);
	runtime_release(&keeper);
}
END_TEST

START_TEST(test_vsock_path)
{
	struct runtime_name guest;
	char path[PATH_MAX], small[8];
	ck_assert_int_eq(runtime_claim(&guest, "one.two"), 0);
	ck_assert_int_eq(runtime_vsock_path(&guest, path, sizeof(path)), 0);
	ck_assert_str_eq(strrchr(path, '/'), "/one.two.vsck");
	ck_assert_int_eq(runtime_vsock_path(&guest, small, sizeof(small)), -ENAMETOOLONG);
	/* What its maker has left goes with the name. */
	close(open(path, O_CREAT | O_WRONLY, 0600));
	ck_assert_int_eq(files_left(), 2);
	runtime_release(&guest);
	ck_assert_int_eq(files_left(), 0);
}
END_TEST

/* A process that holds "one" until it is killed. */
static pid_t holder(void)
{
	int ready[2];
	char byte;
	ck_assert_int_eq(pipe(ready), 0);
	pid_t pid = fork();
	if (pid == 0) {
		struct runtime_name name;
		/* More than the next owner will write. */
		byte = runtime_claim(&name, "one") == 0 &&
		       dprintf(open(name.path, O_WRONLY), "more than its PID") > 0;
		if (write(ready[1], &byte, 1) == 1)
			pause();
		_exit(1);
	}
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	ck_assert_int_eq(byte, 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

START_TEST(test_dead_owner)
{
	struct runtime_name name;
	pid_t pid = holder();
	ck_assert_int_eq(runtime_claim(&name, "one"), -EBUSY);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	ck_assert_int_eq(files_left(), 1);
	ck_assert_int_eq(runtime_claim(&name, "one"), 0);

	/* And the file says who has it now, and no more than that. */
	char want[32], got[32] = "";
	snprintf(want, sizeof(want), "%d\n", getpid());
	int fd = open(name.path, O_RDONLY);
	ck_assert_int_gt(read(fd, got, sizeof(got) - 1), 0);
	close(fd);
	ck_assert_str_eq(got, want);
	runtime_release(&name);
	ck_assert_int_eq(files_left(), 0);
}
END_TEST

/* Many come and go under one name: never two at once, and nothing is left. */
START_TEST(test_race)
{
	enum { PROCESSES = 4, CLAIMS = 400 };
	char inside[96];
	pid_t pids[PROCESSES];
	snprintf(inside, sizeof(inside), "%s/inside", top);
	for (int i = 0; i < PROCESSES; i++) {
		pids[i] = fork();
		if (pids[i] != 0)
			continue;
		int null = open("/dev/null", O_WRONLY);
		dup2(null, STDERR_FILENO);
		for (int claims = 0; claims < CLAIMS;) {
			struct runtime_name name;
			int err = runtime_claim(&name, "one");
			if (err == -EBUSY) {
				sched_yield();
				continue;
			}
			/* Fails where another one is inside. */
			int fd = err ? -1 : open(inside, O_CREAT | O_EXCL, 0600);
			if (fd < 0)
				_exit(1);
			close(fd);
			unlink(inside);
			runtime_release(&name);
			claims++;
		}
		_exit(0);
	}
	for (int i = 0; i < PROCESSES; i++) {
		int status;
		ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
		ck_assert_int_eq(status, 0);
	}
	ck_assert_int_eq(files_left(), 0);
}
END_TEST

START_TEST(test_bad_names)
{
	static const char *const names[] = {"", ".", "..", "a/b", "/etc/x", "a\nb"};
	struct runtime_name name;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		ck_assert_int_eq(runtime_claim(&name, names[i]), -EINVAL);
		assert_said("--name");
		runtime_release(&name);
	}
	ck_assert_int_ne(access(directory, F_OK), 0);
}
END_TEST

START_TEST(test_open_directory)
{
	struct runtime_name name;
	snprintf(directory, sizeof(directory), "%s/open", top);
	setenv("EBB_RUNTIME_DIR", directory, 1);
	ck_assert_int_eq(mkdir(directory, 0700), 0);
	static const mode_t modes[] = {0755, 0710, 0701, 0770};
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		chmod(directory, modes[i]);
		ck_assert_int_eq(runtime_claim(&name, "one"), -EACCES);
		assert_said("chmod 700");
	}
	ck_assert_int_eq(files_left(), 0);
	chmod(directory, 0700);
	ck_assert_int_eq(runtime_claim(&name, "one"), 0);
	runtime_release(&name);
}
END_TEST

START_TEST(test_foreign_directory)
{
	struct runtime_name name;
	snprintf(directory, sizeof(directory), "%s/theirs", top);
	setenv("EBB_RUNTIME_DIR", directory, 1);
	if (geteuid() == 0) {
		ck_assert_int_eq(mkdir(directory, 0700), 0);
		ck_assert_int_eq(chown(directory, 12345, -1), 0);
		ck_assert_int_eq(runtime_claim(&name, "one"), -EACCES);
		assert_said("user 12345");
	} else {
		setenv("EBB_RUNTIME_DIR", "/", 1);
		ck_assert_int_eq(runtime_claim(&name, "one"), -EACCES);
		assert_said("user 0");
	}
	ck_assert_int_eq(files_left(), 0);
}
END_TEST

START_TEST(test_no_directory)
{
	struct runtime_name name;
	char target[96];
	snprintf(directory, sizeof(directory), "%s/link", top);
	snprintf(target, sizeof(target), "%s/target", top);
	setenv("EBB_RUNTIME_DIR", directory, 1);
	/* Where a link leads is another's decision. */
	ck_assert_int_eq(mkdir(target, 0700), 0);
	ck_assert_int_eq(symlink(target, directory), 0);
	ck_assert_int_lt(runtime_claim(&name, "one"), 0);
	assert_said("EBB_RUNTIME_DIR");
	ck_assert_int_eq(unlink(directory), 0);

	ck_assert_int_eq(mknod(directory, S_IFREG | 0600, 0), 0);
	ck_assert_int_eq(runtime_claim(&name, "one"), -ENOTDIR);
	assert_said("EBB_RUNTIME_DIR");
	setenv("EBB_RUNTIME_DIR", "/proc/nowhere", 1);
	ck_assert_int_lt(runtime_claim(&name, "one"), 0);
	assert_said("/proc/nowhere");

	char longest[PATH_MAX + 16];
	memset(longest, 'a', sizeof(longest) - 1);
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	setenv("EBB_RUNTIME_DIR", longest, 1);
	ck_assert_int_eq(runtime_claim(&name, "one"), -ENAMETOOLONG);
	assert_said("EBB_RUNTIME_DIR");
}
END_TEST

START_TEST(test_where)
{
	struct runtime_name name;
	char want[128];
	unsetenv("EBB_RUNTIME_DIR");
	setenv("XDG_RUNTIME_DIR", top, 1);
	ck_assert_int_eq(runtime_claim(&name, "one"), 0);
	snprintf(want, sizeof(want), "%s/ebb/one.lock", top);
	ck_assert_str_eq(name.path, want);
	runtime_release(&name);
}
END_TEST

/* A session's directory that is not this user's, or open to others, or not there: another one is taken. */
START_TEST(test_not_our_session)
{
	char session[96], inside[128];
	unsetenv("EBB_RUNTIME_DIR");
	snprintf(session, sizeof(session), "%s/session", top);
	snprintf(inside, sizeof(inside), "%s/ebb", session);
	for (int way = 0; way < 4; way++) {
		struct runtime_name name;
		char guest[32];
		snprintf(guest, sizeof(guest), "test-%d", getpid());
		setenv("XDG_RUNTIME_DIR", way == 3 ? "relative" : session, 1);
		if (way < 2)
			ck_assert_int_eq(mkdir(session, 0700), 0);
		if (way == 0 && geteuid() == 0)
			ck_assert_int_eq(chown(session, 12345, -1), 0);
		if (way == 0 && geteuid() != 0)
			setenv("XDG_RUNTIME_DIR", "/", 1);
		if (way == 1)
			ck_assert_int_eq(chmod(session, 0755), 0);
		/* Where /run or /tmp is not to be written it fails, but never there. */
		int err = runtime_claim(&name, guest);
		ck_assert_int_ne(access(inside, F_OK), 0);
		if (!err) {
			ck_assert(strncmp(name.path, "/run/ebb/", 9) == 0 ||
				  strncmp(name.path, "/tmp/ebb-", 9) == 0);
			assert_said("XDG_RUNTIME_DIR is not a directory of this user");
			runtime_release(&name);
		}
		log_text();
		rmdir(session);
	}
}
END_TEST

/* Nothing is made in another user's directory, by root either. */
START_TEST(test_foreign_parent)
{
	struct runtime_name name;
	char parent[80];
	snprintf(parent, sizeof(parent), "%s/theirs", top);
	snprintf(directory, sizeof(directory), "%s/theirs/run", top);
	setenv("EBB_RUNTIME_DIR", directory, 1);
	if (geteuid() != 0)
		return;
	ck_assert_int_eq(mkdir(parent, 0700), 0);
	ck_assert_int_eq(chown(parent, 12345, -1), 0);
	ck_assert_int_eq(runtime_claim(&name, "one"), -EPERM);
	assert_said("EBB_RUNTIME_DIR");
	ck_assert_int_ne(access(directory, F_OK), 0);
}
END_TEST

/* A cleaner of old files leaves the lock alone. */
START_TEST(test_sticky)
{
	struct runtime_name name;
	struct stat st;
	ck_assert_int_eq(runtime_claim(&name, "one"), 0);
	ck_assert_int_eq(stat(name.path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 01600);
	runtime_release(&name);
}
END_TEST

/* The directory goes while a guest runs, as at a logout, and comes again with another guest of that name. */
START_TEST(test_vanished)
{
	struct runtime_name first, second;
	struct runtime_guest *guests;
	char command[128];
	ck_assert_int_eq(runtime_claim(&first, "one"), 0);
	int listener = runtime_listen(&first);
	snprintf(command, sizeof(command), "rm -r %s", directory);
	ck_assert_int_eq(system(command), 0);
	ck_assert_int_eq(runtime_list(&guests), 0);
	ck_assert_int_eq(runtime_connect("one"), -ENOENT);
	ck_assert_int_eq(runtime_claim(&second, "one"), 0);
	int other = runtime_listen(&second);
	ck_assert_int_eq(files_left(), 2);
	/* Its end takes nothing from the other one. */
	runtime_release(&first);
	close(listener);
	ck_assert_int_eq(files_left(), 2);
	ck_assert_int_eq(runtime_list(&guests), 1);
	free(guests);
	close(other);
	runtime_release(&second);
	ck_assert_str_eq(log_text(), "");
}
END_TEST

Suite *runtime_suite(void);
Suite *runtime_suite(void)
{
	Suite *suite = suite_create("runtime");
	TCase *tcase = tcase_create("runtime");
	tcase_add_checked_fixture(tcase, runtime_dir_setup, runtime_dir_teardown);
	tcase_add_test(tcase, test_claim_and_release);
	tcase_add_test(tcase, test_in_use);
	tcase_add_test(tcase, test_what_is_shown_is_no_path);
	tcase_add_test(tcase, test_keeper);
	tcase_add_test(tcase, test_watch);
	tcase_add_test(tcase, test_vsock_path);
	tcase_add_test(tcase, test_dead_owner);
	tcase_add_test(tcase, test_race);
	tcase_add_test(tcase, test_bad_names);
	tcase_add_test(tcase, test_open_directory);
	tcase_add_test(tcase, test_foreign_directory);
	tcase_add_test(tcase, test_no_directory);
	tcase_add_test(tcase, test_where);
	tcase_add_test(tcase, test_not_our_session);
	tcase_add_test(tcase, test_foreign_parent);
	tcase_add_test(tcase, test_sticky);
	tcase_add_test(tcase, test_vanished);
	suite_add_tcase(suite, tcase);
	return suite;
}
