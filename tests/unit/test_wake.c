// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/wake.h"

static bool rings_within(int fd, int milliseconds)
{
	struct pollfd wanted = {.fd = fd, .events = POLLIN};
	return poll(&wanted, 1, milliseconds) == 1 && wake_take(fd);
}

START_TEST(rings_count_as_one)
{
	int fd = wake_open();
	ck_assert_int_ge(fd, 0);
	ck_assert(!wake_take(fd));
	wake_ring(fd);
	wake_ring(fd);
	ck_assert(wake_take(fd));
	ck_assert(!wake_take(fd));
	close(fd);
}
END_TEST

START_TEST(a_timer_rings_once_and_can_be_stopped)
{
	int fd = wake_timer_open();
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(wake_timer_at(fd, clock_ns() + NS_PER_MS), 0);
	ck_assert(rings_within(fd, 60000));
	ck_assert(!rings_within(fd, 0));

	ck_assert_int_eq(wake_timer_at(fd, clock_ns() + NS_PER_MS), 0);
	ck_assert_int_eq(wake_timer_at(fd, 0), 0);
	ck_assert(!rings_within(fd, 10));
	close(fd);
}
END_TEST

START_TEST(a_timer_that_repeats_does)
{
	int fd = wake_timer_open();
	ck_assert_int_eq(wake_timer_every(fd, 1), 0);
	ck_assert(rings_within(fd, 60000));
	ck_assert(rings_within(fd, 60000));
	ck_assert_int_eq(wake_timer_every(fd, 0), 0);
	close(fd);
}
END_TEST

START_TEST(only_timers_are_set)
{
	int fd = wake_open();
	ck_assert_int_eq(wake_timer_every(fd, 1), -EINVAL);
	close(fd);
}
END_TEST

Suite *wake_suite(void);
Suite *wake_suite(void)
{
	Suite *suite = suite_create("wake");
	TCase *all = tcase_create("all");
	tcase_add_test(all, rings_count_as_one);
	tcase_add_test(all, a_timer_rings_once_and_can_be_stopped);
	tcase_add_test(all, a_timer_that_repeats_does);
	tcase_add_test(all, only_timers_are_set);
	suite_add_tcase(suite, all);
	return suite;
}
