// SPDX-License-Identifier: Apache-2.0
/* How what the keeper's policy costs grows with the number of guests. */
#include <check.h>

#include "tests/unit/keeper_cost.h"

/* Ten times the guests cost ten times as much; what the CPU's caches add is not the policy's. */
#define TIMES_MOST 15

/* Compares each guest with each. */
static size_t decide_by_pairs(struct keeper_policy *policy, const struct keeper_host *host,
			      struct keeper_guest *const *guest, size_t count, uint64_t now,
			      struct keeper_action *action)
{
	volatile size_t smaller = 0;
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < count; j++)
			if (guest[j]->now.caches < guest[i]->now.caches)
				smaller++;
	return keeper_decide(policy, host, guest, count, now, action);
}

static uint64_t times(keeper_decider *decide)
{
	struct keeper_cost few = keeper_cost(decide, 1000, CLOCK_THREAD_CPUTIME_ID);
	struct keeper_cost many = keeper_cost(decide, 10000, CLOCK_THREAD_CPUTIME_ID);
	ck_assert_uint_eq(few.asked, KEEPER_REQUESTS_MAX);
	ck_assert_uint_eq(many.asked, KEEPER_REQUESTS_MAX);
	return many.round / few.round;
}

START_TEST(a_round_grows_as_the_guests_do)
{
	ck_assert_uint_le(times(keeper_decide), TIMES_MOST);
	ck_assert_uint_gt(times(decide_by_pairs), TIMES_MOST);
}
END_TEST

Suite *keeper_cost_suite(void);
Suite *keeper_cost_suite(void)
{
	Suite *suite = suite_create("keeper_cost");
	TCase *tcase = tcase_create("cost");
	tcase_add_test(tcase, a_round_grows_as_the_guests_do);
	suite_add_tcase(suite, tcase);
	return suite;
}
