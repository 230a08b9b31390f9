// SPDX-License-Identifier: Apache-2.0
/* The end by a fault: in the guest's memory, whose pages the host can refuse, and anywhere else. */
#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/said.h"
#include "vmm/lib/fatal.h"
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

static void undo(void *ctx)
{
	ssize_t ignored = write(STDERR_FILENO, ctx, strlen(ctx));
	(void)ignored;
}

/* 0: main, 1: another thread, 2: after the RAM has gone, a fault elsewhere; 3: sent by somebody */
static void child(void *ctx)
{
	const int way = *(const int *)ctx;
	static char said[] = "undone\n";
	struct fatal_undo last = {undo, said, NULL};
	struct ram_config config = RAM_CONFIG_DEFAULT;
	pthread_t thread;
	config.backing = RAM_MEMFD;
	fatal_take();
	fatal_undo_add(&last);
	fatal_undo_add(&last);
	if (ram_init(&ram, &config, &span, 1) != 0)
		_exit(99);
	read_ram(NULL);
	if (way == 2) {
		ram_release(&ram);
		void *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		*(volatile char *)page = 1;
	} else if (way == 3) {
		kill(getpid(), SIGBUS);
	}
	/* The host takes its pages back, as an empty pool of huge pages has none. */
	if (ftruncate(ram.file, 0) != 0)
		_exit(98);
	if (way == 0)
		read_ram(NULL);
	else if (pthread_create(&thread, NULL, read_ram, NULL) == 0)
		pthread_join(thread, NULL);
	_exit(0);
}

static int run_child(int way, char said[SAID_MAX])
{
	/* Without the sanitizer's handlers, which would end it in their own way. */
	signal(SIGSEGV, SIG_DFL);
	signal(SIGBUS, SIG_DFL);
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
	int status = run_child(2, said);
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

Suite *fatal_suite(void);
Suite *fatal_suite(void)
{
	Suite *suite = suite_create("fatal");
	TCase *tcase = tcase_create("fatal");
	tcase_add_loop_test(tcase, a_page_that_the_host_refuses, 0, 2);
	tcase_add_test(tcase, a_fault_elsewhere);
	tcase_add_test(tcase, a_signal_that_was_sent);
	suite_add_tcase(suite, tcase);
	return suite;
}
