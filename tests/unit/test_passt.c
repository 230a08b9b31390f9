// SPDX-License-Identifier: Apache-2.0
/* The keeper with programs that are no passt: shell scripts of that name. */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/runtime_dir.h"
#include "vmm/lib/clock.h"
#include "vmm/passt/passt.h"

#define LIMIT_MS 60000

static struct backend passt;
static char path[96];
static const struct passt_config plain = {.mtu = 1500};

static void setup(void)
{
	runtime_dir_setup();
	snprintf(path, sizeof(path), "%s:/usr/bin:/bin", top);
	setenv("PATH", path, 1);
	passt = (struct backend){.control = -1};
}

static void teardown(void)
{
	backend_stop(&passt);
	runtime_dir_teardown();
}

/* Makes @body the program passt. In it, $fd is its socket; `ready` goes to the background with "$@". */
static void program(const char *body)
{
	char name[96];
	snprintf(name, sizeof(name), "%s/passt", top);
	FILE *file = fopen(name, "w");
	ck_assert_ptr_nonnull(file);
	fprintf(file,
		"#!/bin/sh\n"
		"fd=$3 top=%s\n"
		"echo $$ >>$top/starts\n"
		"ready() { \"$@\" >/dev/null 2>&1 & echo $! >>$top/pids; exit 0; }\n"
		"serve() { eval \"exec <&$fd\"; cat; }\n"
		"%s\n",
		top, body);
	fclose(file);
	ck_assert_int_eq(chmod(name, 0755), 0);
}

/* Says hello, and ends when its socket does. */
#define GOOD "eval \"echo hello >&$fd\"; ready serve"
/* Does not even notice. */
#define DEAF "eval \"echo hello >&$fd\"; ready sleep 1000"

/* The number on the last line of a file of the test's own, or 0; and how many lines it has. */
static pid_t last_pid(const char *name, unsigned int *lines)
{
	char file_name[96];
	int pid = 0, n;
	*lines = 0;
	snprintf(file_name, sizeof(file_name), "%s/%s", top, name);
	FILE *file = fopen(file_name, "r");
	while (file && fscanf(file, "%d", &n) == 1) {
		pid = n;
		++*lines;
	}
	if (file)
		fclose(file);
	return pid;
}

static pid_t server(void)
{
	unsigned int lines;
	return last_pid("pids", &lines);
}

static bool gone(pid_t pid)
{
	char name[64], state = 'X';
	snprintf(name, sizeof(name), "/proc/%d/stat", pid);
	FILE *file = fopen(name, "r");
	if (!file)
		return true;
	if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
		state = 'X';
	fclose(file);
	return state == 'X' || state == 'Z'; /* nobody reaps the orphans of a container */
}

static void wait_gone(pid_t pid)
{
	uint64_t end = clock_ns() + LIMIT_MS * NS_PER_MS;
	while (!gone(pid)) {
		ck_assert_msg(clock_ns() < end, "process %d stays", pid);
		usleep(10000);
	}
}

static bool hello(int fd)
{
	char text[16] = "";
	struct pollfd readable = {.fd = fd, .events = POLLIN};
	return poll(&readable, 1, LIMIT_MS) > 0 && recv(fd, text, sizeof(text) - 1, 0) == 6 &&
	       strcmp(text, "hello\n") == 0;
}

/* Waits for what the keeper says next. */
static int next(char *why)
{
	struct pollfd control = {.fd = passt.control, .events = POLLIN};
	ck_assert_int_gt(poll(&control, 1, LIMIT_MS), 0);
	return backend_take(&passt, why);
}

static int start(void)
{
	char why[BACKEND_WHY_SIZE] = "";
	int fd = backend_start(&passt, &passt_program, &plain, why);
	ck_assert_msg(fd >= 0, "%s", why);
	ck_assert(hello(fd));
	return fd;
}

START_TEST(arguments)
{
	const struct passt_config config = {
		.mtu = 65520,
		.forwards = 2,
		.forward = {{false, "127.0.0.1/2222:22"}, {true, "53:53"}},
	};
	static const char *const want[] = {"passt", "--quiet", "--fd", "7",
					   "--mtu", "65520",   "-t",   "127.0.0.1/2222:22",
					   "-u",    "53:53"};
	const char *argv[PASST_ARGUMENTS_MAX];
	char mtu[16];

	passt_arguments(&config, "7", mtu, argv);
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		ck_assert_str_eq(argv[i], want[i]);
	ck_assert_ptr_null(argv[sizeof(want) / sizeof(want[0])]);

	struct passt_config full = {.mtu = 1, .forwards = PASST_FORWARDS_MAX};
	passt_arguments(&full, "7", mtu, argv);
	ck_assert_ptr_null(argv[6 + 2 * PASST_FORWARDS_MAX]);
}
END_TEST

START_TEST(starts_and_stops)
{
	program(GOOD);
	int fd = start();
	char why[BACKEND_WHY_SIZE];
	pid_t pid = server(), keeper = passt.keeper;

	ck_assert_int_eq(backend_take(&passt, why), -EAGAIN);
	ck_assert(!gone(pid));
	backend_stop(&passt);
	wait_gone(pid);
	ck_assert(gone(keeper));
	close(fd);
	/* Once more, of what is stopped. */
	backend_stop(&passt);
}
END_TEST

START_TEST(comes_again)
{
	char why[BACKEND_WHY_SIZE];
	program(GOOD);
	int fd = start();
	for (int turn = 0; turn < 3; turn++) {
		close(fd);
		fd = next(why);
		ck_assert_int_ge(fd, 0);
		ck_assert(hello(fd));
	}
	kill(server(), SIGKILL);
	close(fd);
	fd = next(why);
	ck_assert_int_ge(fd, 0);
	ck_assert(hello(fd));
	close(fd);
}
END_TEST

/* One that does not end by itself is killed, and only the one that is meant. */
START_TEST(is_given_up)
{
	char why[BACKEND_WHY_SIZE];
	program(DEAF);
	close(start());
	pid_t first = server();
	backend_end(&passt);
	int fd = next(why);
	ck_assert_int_ge(fd, 0);
	ck_assert(gone(first));
	pid_t second = server();

	passt.serial--; /* as if it had not heard of the second */
	backend_end(&passt);
	passt.serial++;
	program(GOOD);
	/* Several times the pause before the next start, which would be announced. */
	struct pollfd news = {.fd = passt.control, .events = POLLIN};
	ck_assert_int_eq(poll(&news, 1, 2000), 0);
	ck_assert(!gone(second));
	backend_end(&passt);
	close(fd);
	fd = next(why);
	ck_assert_int_ge(fd, 0);
	wait_gone(second);
	close(fd);
}
END_TEST

START_TEST(stops_one_that_is_deaf)
{
	program(DEAF);
	close(start());
	pid_t pid = server();
	backend_stop(&passt);
	wait_gone(pid);
}
END_TEST

static const struct {
	const char *body, *says;
} failing[] = {
	{"echo 'Changing to nobody...' >&2; echo 'Failed to bind any port' >&2; exit 1",
	 "Failed to bind any port"},
	{"exit 3", "it says nothing of why"},
	{"kill -9 $$", "signal 9"},
	{"yes abcdefghij | head -c 1000000 >&2; exit 1", "a"},
	{"exec sleep 1000", "it is not ready"},
};

/* The last of them takes thirty seconds. */
START_TEST(fails_to_start)
{
	char why[BACKEND_WHY_SIZE] = "";
	program(failing[_i].body);
	ck_assert_int_lt(backend_start(&passt, &passt_program, &plain, why), 0);
	ck_assert_msg(strstr(why, failing[_i].says), "%s", why);
	ck_assert_ptr_null(strchr(why, '\n'));
	ck_assert_int_eq(passt.control, -1);
	ck_assert_int_eq(passt.keeper, 0);
}
END_TEST

START_TEST(is_not_installed)
{
	char why[BACKEND_WHY_SIZE] = "";
	setenv("PATH", top, 1);
	ck_assert_int_lt(backend_start(&passt, &passt_program, &plain, why), 0);
	setenv("PATH", path, 1);
	ck_assert_ptr_nonnull(strstr(why, "not installed; Debian's package is passt"));
}
END_TEST

/* It can be tried again: the next start may succeed. */
START_TEST(fails_later)
{
	char why[BACKEND_WHY_SIZE];
	program(GOOD);
	int fd = start();
	program("echo 'the port is taken' >&2; exit 1");
	close(fd);
	ck_assert_int_eq(next(why), -ENOMSG);
	ck_assert_str_eq(why, "the port is taken");
	program(GOOD);
	while ((fd = next(why)) == -ENOMSG)
		;
	ck_assert_int_ge(fd, 0);
	ck_assert(hello(fd));
	close(fd);
}
END_TEST

/* ebb is killed: neither the keeper nor a passt, deaf or not, outlives it. */
START_TEST(ends_with_ebb)
{
	program(_i ? DEAF : GOOD);
	int keepers[2];
	ck_assert_int_eq(pipe(keepers), 0);
	pid_t ebb = fork(), keeper;
	if (ebb == 0) {
		start();
		if (write(keepers[1], &passt.keeper, sizeof(passt.keeper)) > 0)
			raise(SIGKILL);
		_exit(1);
	}
	ck_assert_int_eq(read(keepers[0], &keeper, sizeof(keeper)), sizeof(keeper));
	waitpid(ebb, NULL, 0);
	wait_gone(keeper);
	wait_gone(server());
}
END_TEST

/* Of ebb's descriptors passt has none, and its terminal is not ebb's. */
START_TEST(inherits_nothing)
{
	int open_ones[8], inherited[2];
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, inherited), 0);
	for (int i = 0; i < 8; i++)
		open_ones[i] = dup(inherited[1]);
	program("ls /proc/$$/fd >$top/fds; ps -o sid= $$ >$top/sid; " GOOD);
	int fd = start();
	close(inherited[1]);
	for (int i = 0; i < 8; i++)
		close(open_ones[i]);
	/* The other end sees the end, although both processes live. */
	char byte;
	struct pollfd ended = {.fd = inherited[0], .events = POLLIN};
	ck_assert_int_gt(poll(&ended, 1, LIMIT_MS), 0);
	ck_assert_int_eq(read(inherited[0], &byte, 1), 0);
	unsigned int lines;
	ck_assert_int_ne(last_pid("sid", &lines), getsid(0));
	/* Its streams, its socket, and two of the shell, for its script and while it redirects. */
	last_pid("fds", &lines);
	ck_assert_uint_le(lines, 6);
	close(fd);
}
END_TEST

Suite *passt_suite(void);
Suite *passt_suite(void)
{
	Suite *suite = suite_create("passt");
	TCase *tcase = tcase_create("passt");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, arguments);
	tcase_add_test(tcase, starts_and_stops);
	tcase_add_test(tcase, comes_again);
	tcase_add_test(tcase, is_given_up);
	tcase_add_test(tcase, stops_one_that_is_deaf);
	tcase_add_loop_test(tcase, fails_to_start, 0, sizeof(failing) / sizeof(failing[0]));
	tcase_add_test(tcase, is_not_installed);
	tcase_add_test(tcase, fails_later);
	tcase_add_loop_test(tcase, ends_with_ebb, 0, 2);
	tcase_add_test(tcase, inherits_nothing);
	suite_add_tcase(suite, tcase);
	return suite;
}
