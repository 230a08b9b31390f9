// SPDX-License-Identifier: Apache-2.0
/* A guest of `ebb sandbox` that never comes to its command, on a busy host. */
#include <check.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/runtime_dir.h"
#include "vmm/agent/session.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/starved.h"

/* Returns after how many milliseconds the session gave up the guest, of the process @guest, or 0 if that is not known. */
static int64_t took_to_be_late(pid_t guest, unsigned int start_ms)
{
	char path[96];
	int console[2], life[2];
	struct session_sockets sockets;
	struct session_result result;
	struct command command = {0};
	sigset_t signals;

	snprintf(path, sizeof(path), "%s/v", top);
	ck_assert_int_eq(session_listen(&sockets, path), 0);
	ck_assert(pipe2(console, O_CLOEXEC | O_NONBLOCK) == 0 && pipe2(life, O_CLOEXEC) == 0);
	command_add(&command, AGENT_ARGUMENT, "true");
	ck_assert_int_eq(command_finish(&command, &(struct agent_command){0}), 0);
	session_signals(&signals);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	struct session_config config = {.sockets = &sockets,
					.command = &command,
					.pid = guest,
					.guest = life[0],
					.console = console[0],
					.signals = &signals,
					.start_ms = start_ms,
					.grace_ms = 3600000};
	int64_t before = clock_ms();
	ck_assert_int_eq(session_run(&config, &result), 0);
	ck_assert_int_eq(result.end, SESSION_LATE);
	ck_assert_int_ge(result.took_ms, start_ms);
	ck_assert_int_le(result.took_ms, clock_ms() - before);
	session_close(&sockets, true);
	command_release(&command);
	return result.took_ms;
}

static pid_t spin(void)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	while (pid == 0)
		;
	return pid;
}

/* A guest whose processor others had gets that time again, up to six times its own. The control: nobody knows that of it. */
START_TEST(late_by_others)
{
	enum { KNOWN, UNKNOWN, TOO_LONG };
	const int64_t enough = 2000;
	cpu_set_t all, one;

	ck_assert_int_eq(sched_getaffinity(0, sizeof(all), &all), 0);
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(one), &one), 0);
	pid_t guest = spin(), other = spin();
	sched_setaffinity(0, sizeof(all), &all);
	while (access("/proc/self/schedstat", R_OK) == 0 && starved_ms(guest) < enough)
		clock_sleep_ms(10);
	kill(other, SIGKILL);
	waitpid(other, NULL, 0);
	unsigned int start_ms = _i == TOO_LONG ? 50 : 500;
	bool known = starved_ms(guest) >= enough;
	int64_t took = took_to_be_late(_i == UNKNOWN ? 0 : guest, start_ms);
	kill(guest, SIGKILL);
	waitpid(guest, NULL, 0);
	if (!known)
		return;
	if (_i == KNOWN)
		ck_assert_int_ge(took, enough + start_ms);
	else
		ck_assert_int_lt(took, enough);
	if (_i == TOO_LONG)
		ck_assert_int_ge(took, (int64_t)SESSION_START_MOST * start_ms);
}
END_TEST

Suite *session_late_suite(void);
Suite *session_late_suite(void)
{
	Suite *suite = suite_create("session, late");
	TCase *tc = tcase_create("late");

	tcase_add_checked_fixture(tc, runtime_dir_setup, runtime_dir_teardown);
	tcase_add_loop_test(tc, late_by_others, 0, 3);
	suite_add_tcase(suite, tc);
	return suite;
}
