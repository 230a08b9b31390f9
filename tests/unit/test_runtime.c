// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/control/runtime.h"

static char top[] = "/tmp/ebb-test-XXXXXX"; /* of each test's own process */
static char directory[64];
static int log_ends[2];
static char said[2048];

static void setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(top));
	snprintf(directory, sizeof(directory), "%s/a/run", top);
	setenv("EBB_RUNTIME_DIR", directory, 1);
	ck_assert_int_eq(pipe2(log_ends, O_NONBLOCK), 0);
	dup2(log_ends[1], STDERR_FILENO);
}

static void teardown(void)
{
	char command[96];
	snprintf(command, sizeof(command), "rm -rf %s", top);
	ck_assert_int_eq(system(command), 0);
}

/* What was logged since last time. */
static const char *log_text(void)
{
	ssize_t len = read(log_ends[0], said, sizeof(said) - 1);
	said[len > 0 ? len : 0] = '\0';
	return said;
}

static void assert_said(const char *what)
{
	ck_assert_msg(strstr(log_text(), what), "\"%s\" lacks \"%s\"", said, what);
}

static int files_left(void)
{
	int files = 0;
	DIR *dir = opendir(directory);
	for (struct dirent *entry; dir && (entry = readdir(dir));)
		files += entry->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return files;
}

START_TEST(test_claim_and_release)
{
	struct runtime_name name;
	struct stat st;
	char want[128];
	ck_assert_int_eq(runtime_claim(&name, "one"), 0);
	snprintf(want, sizeof(want), "%s/one.lock", directory);
	ck_assert_str_eq(name.path, want);
	ck_assert_int_eq(stat(directory, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0700);
	ck_assert_int_eq(files_left(), 1);
	runtime_release(&name);
	ck_assert_int_eq(files_left(), 0);
	runtime_release(&name);
	ck_assert_str_eq(log_text(), "");
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
		byte = runtime_claim(&name, "one") == 0 && dprintf(name.fd, "and more") > 0;
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

/* What is in the directory, sorted as "a b ", from runtime_list(). */
static const char *listed(void)
{
	static char text[1024];
	struct runtime_guest *guests;
	ssize_t count = runtime_list(&guests);
	text[0] = '\0';
	if (count < 0)
		return "?";
	for (ssize_t i = 0; i < count; i++) {
		strcat(text, guests[i].name);
		strcat(text, " ");
	}
	free(guests);
	return text;
}

static void put_file(const char *file)
{
	char path[160];
	snprintf(path, sizeof(path), "%s/%s", directory, file);
	int fd = open(path, O_CREAT | O_WRONLY | O_EXCL, 0600);
	ck_assert_int_ge(fd, 0);
	close(fd);
}

static bool connects(int listener)
{
	int fd = runtime_connect("one");
	if (fd < 0)
		return false;
	int peer = accept(listener, NULL, NULL);
	ck_assert_int_ge(peer, 0);
	/* It waits, as its user expects. */
	ck_assert_int_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	close(peer);
	close(fd);
	return true;
}

START_TEST(test_listen)
{
	struct runtime_name name;
	struct stat st;
	char path[128];
	/* Whatever files are made with otherwise. */
	static const mode_t masks[] = {0, 022, 0777};
	for (size_t i = 0; i < sizeof(masks) / sizeof(masks[0]); i++) {
		ck_assert_int_eq(runtime_claim(&name, "one"), 0);
		ck_assert_int_eq(runtime_connect("one"), -ECONNREFUSED);
		umask(masks[i]);
		int fd = runtime_listen(&name);
		umask(077);
		ck_assert_int_ge(fd, 0);
		snprintf(path, sizeof(path), "%s/one.sock", directory);
		ck_assert_int_eq(stat(path, &st), 0);
		ck_assert(S_ISSOCK(st.st_mode));
		ck_assert_uint_eq(st.st_mode & 07777, 0600);
		ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
		ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
		ck_assert(connects(fd));
		close(fd);
		ck_assert_int_eq(runtime_connect("one"), -ECONNREFUSED);
		runtime_release(&name);
		ck_assert_int_eq(files_left(), 0);
		ck_assert_int_eq(runtime_connect("one"), -ENOENT);
	}
	ck_assert_int_eq(runtime_connect("a/b"), -EINVAL);
	ck_assert_str_eq(log_text(), "");
}
END_TEST

/* One that is killed leaves its socket; who claims the name next replaces it. */
START_TEST(test_stale_socket)
{
	struct runtime_name name;
	ck_assert_int_eq(runtime_claim(&name, "one"), 0);
	int fd = runtime_listen(&name);
	/* As if killed: the files stay. */
	close(fd);
	close(name.fd);
	close(name.directory);
	ck_assert_int_eq(files_left(), 2);
	ck_assert_int_eq(runtime_claim(&name, "one"), 0);
	fd = runtime_listen(&name);
	ck_assert_int_ge(fd, 0);
	ck_assert(connects(fd));
	/* Not a socket at all, in its place. */
	close(fd);
	close(name.fd);
	close(name.directory);
	char path[128];
	snprintf(path, sizeof(path), "%s/one.sock", directory);
	unlink(path);
	put_file("one.sock");
	ck_assert_int_eq(runtime_claim(&name, "one"), 0);
	fd = runtime_listen(&name);
	ck_assert(connects(fd));
	close(fd);
	runtime_release(&name);
	ck_assert_int_eq(files_left(), 0);
}
END_TEST

START_TEST(test_long_path)
{
	struct runtime_name name;
	char guest[VM_NAME_MAX + 1];
	memset(guest, 'g', VM_NAME_MAX);
	guest[VM_NAME_MAX] = '\0';
	/* From where it fits to where it does not, a byte at a time, and then much longer. */
	for (int more = 10; more < 70; more++) {
		char path[512];
		snprintf(path, sizeof(path), "%s/%.*s/%.*s", top, more,
			 "ddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd",
			 more < 69 ? 1 : 200,
			 "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee");
		setenv("EBB_RUNTIME_DIR", path, 1);
		ck_assert_int_eq(runtime_claim(&name, guest), 0);
		int fd = runtime_listen(&name);
		ck_assert_msg(fd >= 0, "%d: %s", more, log_text());
		int client = runtime_connect(guest);
		ck_assert_int_ge(client, 0);
		close(client);
		close(fd);
		runtime_release(&name);
	}
	ck_assert_str_eq(log_text(), "");
}
END_TEST

/* Nobody accepts, and the backlog is full: it is said in time. */
START_TEST(test_no_accept)
{
	struct runtime_name name;
	int fd, fds[64], count = 0;
	ck_assert_int_eq(runtime_claim(&name, "one"), 0);
	int listener = runtime_listen(&name);
	while (count < 64 && (fd = runtime_connect("one")) >= 0)
		fds[count++] = fd;
	ck_assert_int_lt(count, 64);
	ck_assert_int_eq(fd, -ETIMEDOUT);
	while (count > 0)
		close(fds[--count]);
	close(listener);
	runtime_release(&name);
}
END_TEST

START_TEST(test_list)
{
	struct runtime_name names[3];
	struct runtime_guest *guests;
	/* A look makes nothing. */
	ck_assert_str_eq(listed(), "");
	ck_assert_int_eq(runtime_connect("one"), -ENOENT);
	ck_assert_int_ne(access(directory, F_OK), 0);
	ck_assert_str_eq(log_text(), "");

	ck_assert_int_eq(runtime_claim(&names[0], "two"), 0);
	ck_assert_int_eq(runtime_claim(&names[1], "one"), 0);
	ck_assert_int_eq(runtime_claim(&names[2], "one.sock"), 0);
	int listener = runtime_listen(&names[0]);
	ck_assert_str_eq(listed(), "one one.sock two ");
	ck_assert_int_eq(runtime_list(&guests), 3);
	ck_assert_int_eq(guests[2].pid, getpid());
	free(guests);

	/* What dead ones left goes, what is nobody's stays, and what is alive is not touched. */
	put_file("dead.lock");
	put_file("dead.sock");
	put_file("lonely.sock");
	put_file("notes.txt");
	put_file(".lock");
	ck_assert_int_eq(files_left(), 3 + 1 + 4);
	ck_assert_str_eq(listed(), "one one.sock two ");
	ck_assert_int_eq(files_left(), 3 + 1 + 1);
	put_file("dead.lock");
	put_file("dead.sock");
	ck_assert_int_eq(runtime_connect("dead"), -ENOENT);
	put_file("lonely.sock");
	ck_assert_int_eq(runtime_connect("lonely"), -ENOENT);
	ck_assert_int_eq(runtime_connect("typo"), -ENOENT);
	ck_assert_int_eq(files_left(), 3 + 1 + 1);
	close(listener);
	for (int i = 0; i < 3; i++)
		runtime_release(&names[i]);
	ck_assert_str_eq(listed(), "");
	ck_assert_int_eq(files_left(), 1);
	ck_assert_str_eq(log_text(), "");

	ck_assert_int_eq(chmod(directory, 0755), 0);
	ck_assert_str_eq(listed(), "?");
	assert_said("chmod 700");
	ck_assert_int_eq(runtime_connect("one"), -EACCES);
	assert_said("chmod 700");
}
END_TEST

/*
 * Those who look hold locks for a moment. A guest that starts meanwhile must never be told that its name is taken,
 * its files must stay, and whoever looks sees it for as long as it lives.
 */
START_TEST(test_looks_do_no_harm)
{
	enum { LOOKERS = 3, CLAIMS = 300 };
	pid_t pids[LOOKERS];
	for (int i = 0; i < LOOKERS; i++) {
		pids[i] = fork();
		while (pids[i] == 0) {
			listed();
			int fd = runtime_connect("one");
			if (fd >= 0)
				close(fd);
		}
	}
	for (int claims = 0; claims < CLAIMS; claims++) {
		struct runtime_name name;
		ck_assert_msg(runtime_claim(&name, "one") == 0, "%d: %s", claims, log_text());
		int fd = runtime_listen(&name);
		ck_assert_int_ge(fd, 0);
		sched_yield();
		ck_assert_str_eq(listed(), "one ");
		ck_assert_int_eq(files_left(), 2);
		close(fd);
		if (claims % 2) {
			runtime_release(&name);
		} else {
			/* As if killed. */
			close(name.fd);
			close(name.directory);
		}
	}
	for (int i = 0; i < LOOKERS; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	ck_assert_str_eq(listed(), "");
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

Suite *runtime_suite(void);
Suite *runtime_suite(void)
{
	Suite *suite = suite_create("runtime");
	TCase *tcase = tcase_create("runtime");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, test_claim_and_release);
	tcase_add_test(tcase, test_in_use);
	tcase_add_test(tcase, test_dead_owner);
	tcase_add_test(tcase, test_listen);
	tcase_add_test(tcase, test_stale_socket);
	tcase_add_test(tcase, test_long_path);
	tcase_add_test(tcase, test_no_accept);
	tcase_add_test(tcase, test_list);
	tcase_add_test(tcase, test_looks_do_no_harm);
	tcase_add_test(tcase, test_race);
	tcase_add_test(tcase, test_bad_names);
	tcase_add_test(tcase, test_open_directory);
	tcase_add_test(tcase, test_foreign_directory);
	tcase_add_test(tcase, test_no_directory);
	tcase_add_test(tcase, test_where);
	tcase_set_timeout(tcase, 30);
	suite_add_tcase(suite, tcase);
	return suite;
}
