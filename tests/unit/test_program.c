// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <errno.h>
#include <signal.h>

#include "vmm/lib/program.h"

static int run(const char *script, int limit_ms)
{
	char *argv[] = {(char *)"sh", (char *)"-c", (char *)script, NULL};
	sigset_t none;
	const struct program program = {argv[0], argv, -1, -1, &none, limit_ms};

	sigemptyset(&none);
	return program_run(&program);
}

START_TEST(status)
{
	ck_assert_int_eq(run("exit 0", 0), 0);
	ck_assert_int_eq(run("exit 3", 0), 3);
	ck_assert_int_eq(run("kill -KILL $$", 0), 128 + SIGKILL);
}
END_TEST

/* What it has started ends, too: the signal goes to all of the group. */
START_TEST(limit)
{
	ck_assert_int_eq(run("sleep 1000 | sleep 1000", 1), -ETIMEDOUT);
	/* One that is soon done is not ended. */
	ck_assert_int_eq(run("exit 3", 1000000), 3);
}
END_TEST

/* A signal that is held back ends it, however long it may take. */
START_TEST(signal_comes)
{
	sigset_t held;

	sigemptyset(&held);
	sigaddset(&held, SIGTERM);
	sigprocmask(SIG_BLOCK, &held, NULL);
	raise(SIGTERM);
	ck_assert_int_eq(run("sleep 1000", 0), -EINTR);
}
END_TEST

Suite *program_suite(void);
Suite *program_suite(void)
{
	Suite *suite = suite_create("program");
	TCase *tcase = tcase_create("all");
	tcase_add_test(tcase, status);
	tcase_add_test(tcase, limit);
	tcase_add_test(tcase, signal_comes);
	suite_add_tcase(suite, tcase);
	return suite;
}
