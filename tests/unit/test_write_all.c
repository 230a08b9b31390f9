// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/lib/write_all.h"

#define SIZE (1U << 20)

static uint8_t byte_at(size_t i)
{
	return (uint8_t)(i % 251);
}

static void heard(int signal)
{
	(void)signal;
}

/* Reads to the end, a little at a time. Returns whether all came. */
static bool came(int fd)
{
	uint8_t piece[1000];
	size_t at = 0;
	ssize_t n;

	while ((n = read(fd, piece, sizeof(piece))) > 0)
		for (ssize_t i = 0; i < n; i++)
			if (piece[i] != byte_at(at++))
				return false;
	return n == 0 && at == SIZE;
}

/* The pipe takes a page at a time, and signals come between and in the middle of pieces. */
START_TEST(in_pieces)
{
	const struct sigaction interrupt = {.sa_handler = heard};
	const struct itimerval often = {{0, 200}, {0, 200}}, never = {0};
	uint8_t *data = malloc(SIZE);
	int ends[2], status;

	ck_assert_ptr_nonnull(data);
	for (size_t i = 0; i < SIZE; i++)
		data[i] = byte_at(i);
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	ck_assert_int_ge(fcntl(ends[1], F_SETPIPE_SZ, 4096), 4096);
	pid_t pid = fork();
	if (pid == 0) {
		close(ends[1]);
		_exit(came(ends[0]) ? 0 : 1);
	}
	close(ends[0]);
	sigaction(SIGALRM, &interrupt, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	ck_assert_int_eq(write_all(ends[1], data, SIZE), 0);
	setitimer(ITIMER_REAL, &never, NULL);
	close(ends[1]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	free(data);
}
END_TEST

START_TEST(no_reader)
{
	int ends[2];

	signal(SIGPIPE, SIG_IGN);
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	close(ends[0]);
	ck_assert_int_eq(write_all(ends[1], "x", 1), -EPIPE);
	ck_assert_int_eq(write_all(ends[1], "", 0), 0);
	close(ends[1]);
}
END_TEST

Suite *write_all_suite(void);

Suite *write_all_suite(void)
{
	Suite *suite = suite_create("write_all");
	TCase *tcase = tcase_create("writing");

	tcase_add_test(tcase, in_pieces);
	tcase_add_test(tcase, no_reader);
	suite_add_tcase(suite, tcase);
	return suite;
}
