// SPDX-License-Identifier: Apache-2.0
/* Writing without waiting: each kind until it is full, beside others that write to the same. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pty.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "vmm/lib/outlet.h"

static const struct {
	char what;
	bool found; /* the kind is what outlet_init() finds, and not asked for */
	enum outlet_kind kind;
} cases[] = {
	{'p', true, OUTLET_PLAIN}, {'s', true, OUTLET_SOCKET},	  {'t', true, OUTLET_PLAIN},
	{'p', false, OUTLET_PIPE}, {'t', false, OUTLET_TERMINAL},
};

#define CASES ((int)(sizeof(cases) / sizeof(cases[0])))

static struct outlet outlet;

/* ends[1] is written to, ends[0] read. */
static void open_ends(int i, int ends[2])
{
	struct termios raw;
	if (cases[i].what == 'p') {
		ck_assert_int_eq(pipe(ends), 0);
	} else if (cases[i].what == 's') {
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	} else {
		ck_assert_int_eq(openpty(&ends[0], &ends[1], NULL, NULL, NULL), 0);
		ck_assert_int_eq(tcgetattr(ends[1], &raw), 0);
		cfmakeraw(&raw);
		ck_assert_int_eq(tcsetattr(ends[1], TCSANOW, &raw), 0);
	}
	if (cases[i].found)
		outlet_init(&outlet, ends[1]);
	else
		outlet_init_as(&outlet, ends[1], cases[i].kind);
	ck_assert_int_eq(outlet.kind, cases[i].kind);
}

static void close_ends(int ends[2])
{
	outlet_release(&outlet);
	outlet_release(&outlet);
	close(ends[0]);
	close(ends[1]);
}

START_TEST(full_is_an_error_and_nothing_is_lost)
{
	static uint8_t data[8192], got[65536];
	int ends[2];
	size_t written = 0, have = 0;
	ssize_t more;
	open_ends(_i, ends);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = i % 251;
	for (int round = 0; round < 20; round++) {
		while ((more = outlet_write(&outlet, data + written % 251, 1000)) > 0)
			written += more;
		ck_assert_int_eq(more, -EAGAIN);
		ck_assert_uint_gt(written, have);
		ck_assert_int_eq(fcntl(ends[1], F_GETFL) & O_NONBLOCK, 0);
		for (size_t all = written; have < all; have += more) {
			more = read(ends[0], got, sizeof(got));
			ck_assert_int_gt(more, 0);
			for (ssize_t i = 0; i < more; i++)
				if (got[i] != (have + i) % 251)
					ck_abort_msg("byte %zu is %u", have + i, got[i]);
		}
	}
	close_ends(ends);
}
END_TEST

/* Lines of another process go into the same pipe at the same time, and make it full again and again. */
static void *write_dots(void *ctx)
{
	char dots[PIPE_BUF];
	memset(dots, '.', sizeof(dots));
	while (write(*(int *)ctx, dots, sizeof(dots)) > 0)
		;
	return NULL;
}

START_TEST(beside_others_it_does_not_wait)
{
	static char data[PIPE_BUF], got[PIPE_BUF];
	int ends[2];
	pthread_t other;
	unsigned int full = 0, ours = 0, seen = 0;
	signal(SIGPIPE, SIG_IGN);
	open_ends(_i, ends);
	fcntl(ends[1], F_SETPIPE_SZ, 2 * PIPE_BUF);
	memset(data, 'o', sizeof(data));
	ck_assert_int_eq(pthread_create(&other, NULL, write_dots, &ends[1]), 0);
	while (full < 2000 || ours == 0) {
		ssize_t written = outlet_write(&outlet, data, sizeof(data));
		if (written == -EAGAIN)
			full++;
		else
			ck_assert_int_eq(written, sizeof(data));
		ours += written > 0;
		if (written == -EAGAIN && full % 4 == 0) {
			ck_assert_int_eq(read(ends[0], got, sizeof(got)), sizeof(got));
			/* In one piece: the first byte speaks for all. */
			for (size_t i = 1; i < sizeof(got); i++)
				if (got[i] != got[0])
					ck_abort_msg("byte %zu is %c in a piece of %c", i, got[i],
						     got[0]);
			seen += got[0] == 'o';
		}
	}
	ck_assert_uint_le(seen, ours);
	close(ends[0]);
	pthread_join(other, NULL);
	ck_assert_int_eq(outlet_write(&outlet, data, 1), -EPIPE);
	ends[0] = dup(ends[1]);
	close_ends(ends);
}
END_TEST

START_TEST(a_file_has_always_room)
{
	char name[] = "/tmp/ebb-outlet-XXXXXX";
	int fd = mkstemp(name);
	ck_assert_int_ge(fd, 0);
	unlink(name);
	outlet_init(&outlet, fd);
	/* The same offset as the caller's. */
	ck_assert_int_eq(outlet_write(&outlet, "one", 3), 3);
	ck_assert_int_eq(write(fd, "two", 3), 3);
	ck_assert_int_eq(outlet_write(&outlet, "three", 5), 5);
	ck_assert_int_eq(lseek(fd, 0, SEEK_END), 11);
	outlet_release(&outlet);
	ck_assert_int_eq(write(fd, "!", 1), 1);
	close(fd);
}
END_TEST

Suite *outlet_suite(void);
Suite *outlet_suite(void)
{
	Suite *suite = suite_create("outlet");
	TCase *tcase = tcase_create("outlet");
	tcase_add_loop_test(tcase, full_is_an_error_and_nothing_is_lost, 0, CASES);
	tcase_add_test(tcase, a_file_has_always_room);
	/* The two kinds of a pipe. */
	tcase_add_loop_test(tcase, beside_others_it_does_not_wait, 0, 1);
	tcase_add_loop_test(tcase, beside_others_it_does_not_wait, 3, 4);
	suite_add_tcase(suite, tcase);
	return suite;
}
