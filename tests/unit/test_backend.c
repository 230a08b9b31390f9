// SPDX-License-Identifier: Apache-2.0
/* How the keeper ends a program; what all programs have in common is tested with passt and virtiofsd. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/runtime_dir.h"
#include "vmm/backend/backend.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/pass_fd.h"

#define LIMIT_MS 60000

static struct backend backend;

static _Noreturn void become(const void *config, const char *path, int socket)
{
	const char *argv[] = {"sh", "-c", config, top, NULL};

	backend_exec(path, argv, socket);
}

static const struct backend_program gentle = {.name = "sh",
					      .package = "dash",
					      .keeper = "test-keeper",
					      .listens = true,
					      .stop_ms = 60000,
					      .become = become};
static const struct backend_program impatient = {.name = "sh",
						 .package = "dash",
						 .keeper = "test-keeper",
						 .listens = true,
						 .stop_ms = 300,
						 .become = become};

/* Returns whether the script has made the file @name in its directory. */
static bool exists(const char *name)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", top, name);
	return access(path, F_OK) == 0;
}

static void forget(const char *name)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", top, name);
	unlink(path);
}

static void wait_for(const char *name)
{
	uint64_t end = clock_ns() + LIMIT_MS * NS_PER_MS;
	while (!exists(name)) {
		ck_assert_uint_lt(clock_ns(), end);
		clock_sleep_ms(5);
	}
}

static int start(const struct backend_program *program, const char *script)
{
	char why[BACKEND_WHY_SIZE] = "";
	int fd = backend_start(&backend, program, script, why);
	ck_assert_msg(fd >= 0, "%s", why);
	wait_for("ready");
	return fd;
}

/* It may still write what it has, also if ebb dies without a word. */
START_TEST(asks_to_end)
{
	int fd = start(&gentle, "trap 'echo >$0/saved; exit' TERM; echo >$0/ready; "
				"while :; do sleep 0.01; done");
	if (_i == 0)
		backend_stop(&backend);
	else
		shutdown(backend.control, SHUT_RDWR);
	wait_for("saved");
	backend_stop(&backend);
	close(fd);
}
END_TEST

/* But not for ever. */
START_TEST(ends_a_deaf_one)
{
	int fd = start(&impatient, "trap 'echo >$0/heard' TERM; echo $$ >$0/ready; "
				   "while :; do sleep 0.01; done");
	pid_t keeper = backend.keeper;

	backend_stop(&backend);
	ck_assert(exists("heard"));
	ck_assert_int_lt(kill(keeper, 0), 0);
	close(fd);
}
END_TEST

/* Without what the user knows already. */
START_TEST(tells_the_reason)
{
	static const char *const says[][2] = {
		{"no such image", "no such image"},
		{"sh: no such image", "no such image"},
		{"sh: --blockdev driver=file,filename=/a: no: such image", "no: such image"},
		{"sh: --blockdev", "--blockdev"},
		{"shell: no such image", "shell: no such image"},
	};
	char why[BACKEND_WHY_SIZE] = "", script[256];

	snprintf(script, sizeof(script), "echo '%s' >&2; exit 1", says[_i][0]);
	int fd = backend_start(&backend, &gentle, script, why);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(backend_wait(&backend, why, LIMIT_MS), -ENOMSG);
	ck_assert_str_eq(why, says[_i][1]);
	backend_stop(&backend);
	close(fd);
}
END_TEST

/* A backend that breaks the rules is not asked. */
START_TEST(ends_by_force)
{
	char why[BACKEND_WHY_SIZE];
	int fd = start(&gentle, "trap 'echo >$0/heard' TERM; echo >$0/ready; "
				"while :; do sleep 0.01; done 2>/dev/null");

	backend_end(&backend);
	ck_assert_int_eq(backend_wait(&backend, why, LIMIT_MS), -ENOMSG);
	ck_assert_str_eq(why, "it died of signal 9");
	ck_assert(!exists("heard"));
	shutdown(backend.control, SHUT_RDWR);
	kill(backend.keeper, SIGKILL);
	backend_stop(&backend);
	close(fd);
}
END_TEST

/* Also if the user's hard limit is 0, which only root can raise. The control: this process's own would have memory. */
START_TEST(leaves_no_memory_in_a_core)
{
	const struct rlimit none = {0, 0};
	unsigned int own = 0, filter = ~0U;
	FILE *file = fopen("/proc/self/coredump_filter", "re");

	ck_assert(file && fscanf(file, "%x", &own) == 1 && own);
	fclose(file);
	ck_assert_int_eq(setrlimit(RLIMIT_CORE, &none), 0);
	prctl(PR_SET_DUMPABLE, 0); /* as ebb is */
	int fd = start(&gentle, "cat /proc/self/coredump_filter >$0/filter; echo >$0/ready; "
				"while :; do sleep 0.01; done");
	char path[128];
	snprintf(path, sizeof(path), "%s/filter", top);
	file = fopen(path, "re");
	ck_assert(file && fscanf(file, "%x", &filter) == 1);
	fclose(file);
	ck_assert_uint_eq(filter, 0);
	backend_stop(&backend);
	close(fd);
}
END_TEST

/* The one that takes it hears of its end, and ends it; the one that gave it waits for its keeper. */
START_TEST(is_given_away)
{
	char why[BACKEND_WHY_SIZE];
	struct backend taken = {.control = -1};
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	int fd = start(
		&gentle,
		"trap 'echo >$0/saved; exit' TERM; echo >$0/ready; while :; do sleep 0.01; done");
	ck_assert_int_eq(backend_adopt(&taken, pair[1]), -EAGAIN);
	ck_assert_int_eq(backend_give(&backend, fd, pair[0]), 0);
	int adopted = backend_adopt(&taken, pair[1]);
	ck_assert_int_ge(adopted, 0);
	ck_assert_int_eq(backend_take(&backend, why), -EPIPE); /* not its own any more */

	forget("ready");
	backend_end(&taken);
	ck_assert_int_eq(backend_wait(&taken, why, LIMIT_MS), -ENOMSG);
	ck_assert_str_eq(why, "it died of signal 9");
	int next = backend_wait(&taken, why, LIMIT_MS);
	ck_assert_int_ge(next, 0);
	wait_for("ready");

	backend_stop(&taken);
	wait_for("saved");
	backend_stop(&backend);
	close(next);
	close(adopted);
	close(fd);
	close(pair[0]);
	close(pair[1]);
}
END_TEST

/* What comes is no backend, or nothing comes any more. */
START_TEST(adopts_no_other)
{
	struct backend taken = {.control = -1};
	struct backend_message note = {};
	int pair[2], null = open("/dev/null", O_RDWR);
	const int fds[] = {null, null};

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	ck_assert_int_eq(pass_fds_send_now(pair[0], &note, sizeof(note) - 1, fds, 2),
			 sizeof(note) - 1);
	ck_assert_int_eq(backend_adopt(&taken, pair[1]), -EPROTO);
	ck_assert_int_eq(pass_fds_send_now(pair[0], &note, sizeof(note), fds, 1), sizeof(note));
	ck_assert_int_eq(backend_adopt(&taken, pair[1]), -EPROTO);
	close(pair[0]);
	ck_assert_int_eq(backend_adopt(&taken, pair[1]), -EPIPE);
	ck_assert_int_eq(taken.control, -1);
	close(pair[1]);
	close(null);
}
END_TEST

Suite *backend_suite(void);
Suite *backend_suite(void)
{
	Suite *suite = suite_create("backend");
	TCase *tc = tcase_create("backend");

	tcase_add_checked_fixture(tc, runtime_dir_setup, runtime_dir_teardown);
	tcase_add_loop_test(tc, asks_to_end, 0, 2);
	tcase_add_test(tc, ends_a_deaf_one);
	tcase_add_loop_test(tc, tells_the_reason, 0, 5);
	tcase_add_test(tc, ends_by_force);
	tcase_add_test(tc, leaves_no_memory_in_a_core);
	tcase_add_test(tc, is_given_away);
	tcase_add_test(tc, adopts_no_other);
	suite_add_tcase(suite, tc);
	return suite;
}
