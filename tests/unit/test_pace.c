// SPDX-License-Identifier: Apache-2.0
#include <check.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/pace.h"

START_TEST(it_begins_full_and_runs_dry)
{
	struct pace pace = pace_start(1000, 100, 5);
	ck_assert_uint_eq(pace_left(&pace, 5), 100);
	pace_spend(&pace, 60);
	ck_assert_uint_eq(pace_left(&pace, 5), 40);
	pace_spend(&pace, 1000);
	ck_assert_uint_eq(pace_left(&pace, 5), 0);
}
END_TEST

START_TEST(it_fills_at_its_rate_up_to_the_brim)
{
	struct pace pace = pace_start(1000, 100, 0);
	pace_spend(&pace, 100);
	ck_assert_uint_eq(pace_left(&pace, NS_PER_MS - 1), 0);
	ck_assert_uint_eq(pace_left(&pace, NS_PER_MS), 1);
	ck_assert_uint_eq(pace_left(&pace, 50 * NS_PER_MS), 50);
	ck_assert_uint_eq(pace_left(&pace, 1000 * NS_PER_S), 100);
	/* An older time takes nothing away. */
	ck_assert_uint_eq(pace_left(&pace, 0), 100);
}
END_TEST

START_TEST(looking_often_loses_nothing)
{
	struct pace pace = pace_start(1000, 1000, 0);
	pace_spend(&pace, 1000);
	for (uint64_t now = 0; now <= NS_PER_S; now += NS_PER_MS / 7)
		pace_left(&pace, now);
	ck_assert_uint_ge(pace_left(&pace, NS_PER_S), 999);
	ck_assert_uint_le(pace_left(&pace, NS_PER_S), 1000);
}
END_TEST

START_TEST(it_tells_when)
{
	static const uint64_t rates[] = {1, 3, 1000, 1U << 20, UINT32_MAX};
	struct pace pace = pace_start(rates[_i], 1 << 16, 7);
	pace_spend(&pace, 1 << 16);
	uint64_t when = pace_when(&pace, 64);
	ck_assert_uint_lt(pace_left(&pace, when - 1), 64);
	ck_assert_uint_ge(pace_left(&pace, when), 63);
	struct pace other = pace_start(rates[_i], 1 << 16, 7);
	pace_spend(&other, 1 << 16);
	ck_assert_uint_ge(pace_left(&other, when), 64);
}
END_TEST

START_TEST(nothing_overflows)
{
	struct pace pace = pace_start(UINT32_MAX, UINT32_MAX, 0);
	pace_spend(&pace, UINT32_MAX);
	ck_assert_uint_eq(pace_left(&pace, UINT64_MAX), UINT32_MAX);
	pace_spend(&pace, UINT32_MAX);
	ck_assert_uint_eq(pace_left(&pace, UINT64_MAX), 0);
}
END_TEST

Suite *pace_suite(void);
Suite *pace_suite(void)
{
	Suite *suite = suite_create("pace");
	TCase *all = tcase_create("all");
	tcase_add_test(all, it_begins_full_and_runs_dry);
	tcase_add_test(all, it_fills_at_its_rate_up_to_the_brim);
	tcase_add_test(all, looking_often_loses_nothing);
	tcase_add_loop_test(all, it_tells_when, 0, 5);
	tcase_add_test(all, nothing_overflows);
	suite_add_tcase(suite, all);
	return suite;
}
