// SPDX-License-Identifier: Apache-2.0
/* Guests' sockets, and those who look for guests. */
#include <check.h>
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

#include "tests/unit/runtime_dir.h"
#include "vmm/control/runtime.h"

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
	ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
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

/* Nobody accepts, and the backlog is full: it is not waited for. */
START_TEST(test_no_accept)
{
	struct runtime_name name;
	int fd, fds[64], count = 0;
	ck_assert_int_eq(runtime_claim(&name, "one"), 0);
	int listener = runtime_listen(&name);
	while (count < 64 && (fd = runtime_connect("one")) >= 0)
		fds[count++] = fd;
	ck_assert_int_lt(count, 64);
	ck_assert_int_eq(fd, -EAGAIN);
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
	/* Who asks for what never was changes nothing, not even for a moment. */
	struct stat before, after;
	ck_assert_int_eq(stat(directory, &before), 0);
	ck_assert_int_eq(runtime_connect("typo"), -ENOENT);
	ck_assert_str_eq(listed(), "one one.sock two ");
	ck_assert_int_eq(stat(directory, &after), 0);
	ck_assert_mem_eq(&before.st_mtim, &after.st_mtim, sizeof(before.st_mtim));
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

Suite *runtime_look_suite(void);
Suite *runtime_look_suite(void)
{
	Suite *suite = suite_create("runtime_look");
	TCase *tcase = tcase_create("runtime_look");
	tcase_add_checked_fixture(tcase, runtime_dir_setup, runtime_dir_teardown);
	tcase_add_test(tcase, test_listen);
	tcase_add_test(tcase, test_stale_socket);
	tcase_add_test(tcase, test_long_path);
	tcase_add_test(tcase, test_no_accept);
	tcase_add_test(tcase, test_list);
	tcase_add_test(tcase, test_looks_do_no_harm);
	suite_add_tcase(suite, tcase);
	return suite;
}
