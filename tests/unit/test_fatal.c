// SPDX-License-Identifier: Apache-2.0
/* The end by a fault: in the guest's memory, whose pages the host can refuse, and anywhere else. */
#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/said.h"
#include "vmm/lib/fatal.h"
#include "vmm/lib/log.h"
#include "vmm/lib/loop.h"
#include "vmm/mem/ram.h"

static const struct gpa_range span = {0, 4 << 20};
static struct ram ram;

static void *read_ram(void *ctx)
{
	char bytes[16];
	(void)ctx;
	ram_read(&ram, 2 << 20, bytes, sizeof(bytes));
	return NULL;
}

static atomic_bool undone;

/* Done by main, whichever thread has the fault. */
static void undo(void *ctx)
{
	atomic_store(&undone, true);
	ssize_t ignored = write(STDERR_FILENO, ctx, gettid() == getpid() ? strlen(ctx) : 1);
	(void)ignored;
}

static void *write_nowhere(void *ctx)
{
	void *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	sigset_t all;
	(void)ctx;
	/* Main may have blocked it before it started this thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_UNBLOCK, &all, NULL);
	*(volatile char *)page = 1;
	return NULL;
}

/* The kernel's own for a refused call. */
static void *be_refused(void *ctx)
{
	siginfo_t info = {.si_signo = SIGSYS, .si_code = 1};
	fatal_name(ctx);
	info.si_syscall = 321;
	/* Codes of the kernel's can be sent to oneself alone, so not to the whole process. */
	syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGSYS, &info);
	return NULL;
}

/* The loop, which would write it, does not run. */
static void *say_and_die(void *ctx)
{
	(void)ctx;
	log_error("held");
	abort();
}

static void *give_up(void *ctx)
{
	(void)ctx;
	abort();
}

/* Main has something else to do than to wait for it. */
static void beside_another_thread(void)
{
	pthread_t thread;
	if (pthread_create(&thread, NULL, give_up, NULL) == 0)
		while (!atomic_load(&undone))
			sched_yield();
	_exit(97);
}

static void in_another_thread(void *(*run)(void *ctx), const char *name)
{
	pthread_t thread;
	if (pthread_create(&thread, NULL, run, (void *)name) == 0)
		pthread_join(thread, NULL);
}

/* Main is held up: it takes no signal. */
static void hold_up(void)
{
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
}

/*
 * 0: main, 1: another thread, 2: after the RAM has gone, a fault elsewhere; 3: sent by somebody; 4: a fault elsewhere in
 * another thread; 5: the same while main is held up; 6: another thread's call is refused; 7: another thread gives up after a line of the log;
 * 8: another thread gives up, by a signal that whoever started ebb ignores
 */
static void child(void *ctx)
{
	const int way = *(const int *)ctx;
	static char said[] = "undone\n";
	struct fatal_undo last = {undo, said, NULL};
	struct ram_config config = RAM_CONFIG_DEFAULT;
	config.backing = RAM_MEMFD;
	if (way == 8)
		signal(SIGABRT, SIG_IGN);
	fatal_take();
	fatal_undo_add(&last);
	fatal_undo_add(&last);
	if (ram_init(&ram, &config, &span, 1) != 0)
		_exit(99);
	read_ram(NULL);
	if (way == 2) {
		ram_release(&ram);
		write_nowhere(NULL);
	} else if (way == 3) {
		kill(getpid(), SIGBUS);
	} else if (way == 4) {
		in_another_thread(write_nowhere, NULL);
	} else if (way == 5) {
		hold_up();
		in_another_thread(write_nowhere, NULL);
	} else if (way == 6) {
		in_another_thread(be_refused, "fifteen letters");
	} else if (way == 7) {
		struct loop loop;
		if (loop_init(&loop) == 0)
			log_attach(&loop);
		in_another_thread(say_and_die, NULL);
	} else if (way == 8) {
		beside_another_thread();
	}
	/* The host takes its pages back, as an empty pool of huge pages has none. */
	if (ftruncate(ram.file, 0) != 0)
		_exit(98);
	if (way == 0)
		read_ram(NULL);
	else
		in_another_thread(read_ram, NULL);
	_exit(0);
}

static int run_child(int way, char said[SAID_MAX])
{
	/* Without the sanitizer's handlers, which would end it in their own way. */
	signal(SIGSEGV, SIG_DFL);
	signal(SIGBUS, SIG_DFL);
	signal(SIGABRT, SIG_DFL);
	return said_by_child(child, &way, said);
}

START_TEST(a_page_that_the_host_refuses)
{
	char said[SAID_MAX];
	int status = run_child(_i, said);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == FATAL_GUEST_FAILED, "%x: %s",
		      status, said);
	ck_assert_str_eq(said, "undone\nebb: the host has no page for the guest's memory: see the "
			       "host's kernel log\n");
}
END_TEST

START_TEST(a_fault_elsewhere)
{
	char said[SAID_MAX];
	int status = run_child(_i ? 4 : 2, said);
	ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV, "%x: %s", status, said);
	unsigned long at;
	ck_assert_int_eq(sscanf(said, "undone\nebb: died of signal 11, at 0x%lx\n", &at), 1);
	ck_assert_uint_ne(at, 0);
}
END_TEST

START_TEST(a_signal_that_was_sent)
{
	char said[SAID_MAX];
	int status = run_child(3, said);
	ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS, "%x: %s", status, said);
	ck_assert_str_eq(said, "undone\nebb: died of signal 07\n");
}
END_TEST

START_TEST(a_refused_call)
{
	char said[SAID_MAX];
	int status = run_child(6, said);
	ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "%x: %s", status, said);
	ck_assert_str_eq(said, "undone\nebb: the sandbox refused the system call 321 to the thread "
			       "fifteen letters: it has a fault, or a guest has taken it over\n");
}
END_TEST

START_TEST(what_the_log_holds)
{
	char said[SAID_MAX];
	int status = run_child(7, said);
	ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "%x: %s", status, said);
	ck_assert_str_eq(said, "ebb: held\nundone\nebb: died of signal 06\n");
}
END_TEST

/* Main does not go on with what is undone. */
START_TEST(a_signal_that_is_ignored)
{
	char said[SAID_MAX];
	int status = run_child(8, said);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == FATAL_GUEST_FAILED, "%x: %s",
		      status, said);
	ck_assert_str_eq(said, "undone\nebb: died of signal 06\n");
}
END_TEST

/* No undo, and no words: but it ends. */
START_TEST(a_fault_while_main_is_held_up)
{
	char said[SAID_MAX];
	int status = run_child(5, said);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == FATAL_GUEST_FAILED, "%x: %s",
		      status, said);
	ck_assert_str_eq(said, "");
}
END_TEST

Suite *fatal_suite(void);
Suite *fatal_suite(void)
{
	Suite *suite = suite_create("fatal");
	TCase *tcase = tcase_create("fatal");
	tcase_add_loop_test(tcase, a_page_that_the_host_refuses, 0, 2);
	tcase_add_loop_test(tcase, a_fault_elsewhere, 0, 2);
	tcase_add_test(tcase, a_signal_that_was_sent);
	tcase_add_test(tcase, a_refused_call);
	tcase_add_test(tcase, what_the_log_holds);
	tcase_add_test(tcase, a_signal_that_is_ignored);
	tcase_add_test(tcase, a_fault_while_main_is_held_up);
	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	return suite;
}
