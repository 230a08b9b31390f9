// SPDX-License-Identifier: Apache-2.0
/* Signals that would end ebb, each in a child of its own. */
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/said.h"
#include "vmm/machine/signals.h"

static struct loop loop;
static int ends, continues;

static void on_end(void *ctx)
{
	(void)ctx;
	ends++;
	loop_stop(&loop);
}

static void on_continued(void *ctx)
{
	(void)ctx;
	continues++;
	loop_stop(&loop);
}

/* Signals that the child sends itself, and one that it ignores; 0: none. */
struct order {
	int number, also, ignored;
};

/* Its status: 10 + the calls of end() + 5 times those of continued(). */
static void child(void *ctx)
{
	const struct order *order = ctx;
	/* As a parent gives them, also where the tests' own has ignored some. */
	for (int i = 1; i <= SIGRTMAX; i++)
		signal(i, i == order->ignored ? SIG_IGN : SIG_DFL);
	struct signals signals = {.end = on_end, .continued = on_continued};
	if (signals_hold() != 0 || loop_init(&loop) != 0 || signals_init(&signals, &loop) != 0)
		_exit(1);
	kill(getpid(), order->number);
	if (order->also)
		kill(getpid(), order->also);
	if (loop_run(&loop) != 0)
		_exit(2);
	loop_release(&loop);
	signals_release(&signals);
	signals_die(signals.fatal);
	_exit(10 + ends + 5 * continues);
}

/* Returns the child's status, and what it said in @said. */
static int run_child(int number, int also, int ignored, char said[SAID_MAX])
{
	struct order order = {number, also, ignored};
	return said_by_child(child, &order, said);
}

static const int requests[] = {SIGHUP, SIGINT, SIGTERM};

START_TEST(a_request_ends_the_machine_without_a_word)
{
	char said[SAID_MAX];
	int status = run_child(requests[_i], 0, 0, said);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 11, "status %x", status);
	ck_assert_str_eq(said, "");
}
END_TEST

/* nohup, and what a shell starts in the background: the other one shows that the loop runs. */
START_TEST(what_was_ignored_stays_ignored)
{
	char said[SAID_MAX];
	int ignored[] = {SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGUSR1};
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++) {
		int status = run_child(ignored[i], SIGCONT, ignored[i], said);
		ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 15,
			      "signal %d: status %x", ignored[i], status);
		ck_assert_str_eq(said, "");
	}
}
END_TEST

START_TEST(others_are_told_and_seen_by_the_parent)
{
	char said[SAID_MAX], name[32];
	int others[] = {SIGQUIT, SIGUSR1, SIGUSR2,   SIGALRM,  SIGVTALRM,   SIGPROF,
			SIGIO,	 SIGPWR,  SIGSTKFLT, SIGRTMAX, SIGRTMIN + 1};
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		int status = run_child(others[i], 0, 0, said);
		ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == others[i],
			      "signal %d: status %x", others[i], status);
		snprintf(name, sizeof(name), "ebb: ended by signal %d: ", others[i]);
		ck_assert_msg(strncmp(said, name, strlen(name)) == 0, "%s", said);
		ck_assert_ptr_eq(strchr(said, '\n'), said + strlen(said) - 1);
	}
	int status = run_child(SIGXCPU, 0, 0, said);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU);
	ck_assert_ptr_nonnull(strstr(said, "ulimit -t"));
}
END_TEST

Suite *signals_suite(void);
Suite *signals_suite(void)
{
	Suite *suite = suite_create("signals");
	TCase *tcase = tcase_create("signals");
	tcase_add_loop_test(tcase, a_request_ends_the_machine_without_a_word, 0,
			    sizeof(requests) / sizeof(requests[0]));
	tcase_add_test(tcase, what_was_ignored_stays_ignored);
	tcase_add_test(tcase, others_are_told_and_seen_by_the_parent);
	suite_add_tcase(suite, tcase);
	return suite;
}
