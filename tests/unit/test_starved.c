// SPDX-License-Identifier: Apache-2.0
/* How long a process has waited for a processor: two that share one, and one that sleeps. */
#include <check.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/starved.h"

#define ENOUGH_MS 50
#define LIMIT_MS  60000

static pid_t start(bool spins)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	while (pid == 0)
		if (!spins)
			pause();
	return pid;
}

static void stop(pid_t pid)
{
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

START_TEST(waits_for_others)
{
	cpu_set_t one;
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(one), &one), 0);
	if (access("/proc/self/schedstat", R_OK) < 0)
		return; /* this kernel does not tell */
	pid_t sleeps = start(false), spins = start(true), other = start(true);
	int64_t deadline = clock_ms() + LIMIT_MS;
	while (starved_ms(spins) < ENOUGH_MS || starved_ms(other) < ENOUGH_MS) {
		ck_assert_int_lt(clock_ms(), deadline);
		clock_sleep_ms(1);
	}
	/* It has waited once, before it could sleep. */
	int64_t before = starved_ms(sleeps), sum = starved_ms(spins) + starved_ms(other);
	while (starved_ms(spins) + starved_ms(other) < sum + 2 * ENOUGH_MS) {
		ck_assert_int_lt(clock_ms(), deadline);
		clock_sleep_ms(1);
	}
	ck_assert_int_eq(starved_ms(sleeps), before);
	stop(sleeps);
	stop(spins);
	stop(other);
}
END_TEST

START_TEST(nobody)
{
	ck_assert_int_eq(starved_ms(0x7ffffffe), 0);
}
END_TEST

Suite *starved_suite(void);
Suite *starved_suite(void)
{
	Suite *suite = suite_create("starved");
	TCase *tcase = tcase_create("starved");
	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, waits_for_others);
	tcase_add_test(tcase, nobody);
	suite_add_tcase(suite, tcase);
	return suite;
}
