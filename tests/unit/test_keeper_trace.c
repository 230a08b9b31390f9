// SPDX-License-Identifier: Apache-2.0
/* A day of guests that want what was recorded of real ones, with the keeper and without. */
#include <check.h>

#include "tests/unit/keeper_traces.h"
#include "vmm/lib/clock.h"

#define MIB  (UINT64_C(1) << 20)
#define HOUR (3600 * NS_PER_S)

/* Ten times the recorded guests, each six of them at another time, for a day: seconds without memory. */
static uint64_t replay(const struct sim_policy *policy, struct sim *sim)
{
	enum { TIMES = 10 };
	sim_init(sim, policy, TIMES * 640 * MIB, TIMES * TRACES);
	for (size_t i = 0; i < sim->count; i++)
		sim->guest[i] = (struct sim_guest){
			.size = 512 * MIB,
			.trace = &traces[i % TRACES],
			.offset = i % TRACES ? sim->guest[i - 1].offset
					     : sim_random(sim, TRACE_SECONDS) * NS_PER_S,
			.delay = NS_PER_S,
			.pieces = 4 * MIB,
			.ages = true};
	/* All begin amid their traces, and so all at once. */
	sim_run(sim, TRACE_SECONDS * NS_PER_S);
	sim->swapped = 0;
	sim_run(sim, 24 * HOUR);
	return sim->swapped / NS_PER_S;
}

START_TEST(a_day)
{
	struct sim good, bad;
	ck_assert_uint_eq(replay(&sim_keeper, &good), 0);
	ck_assert_uint_le(good.most_a_second, KEEPER_RATE + KEEPER_REQUESTS_MAX);
	ck_assert_uint_gt(replay(&sim_absent, &bad), HOUR / NS_PER_S);
	ck_assert_uint_lt(good.needed_most, good.total / 2);
	sim_release(&good);
	sim_release(&bad);
}
END_TEST

Suite *keeper_trace_suite(void);
Suite *keeper_trace_suite(void)
{
	Suite *suite = suite_create("keeper_trace");
	TCase *tcase = tcase_create("ci");
	tcase_add_test(tcase, a_day);
	suite_add_tcase(suite, tcase);
	return suite;
}
