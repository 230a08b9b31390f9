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

/* An idle guest, of whose 400 MiB of files a short host takes some; 200 MiB are read at 40 s. Returns what it missed. */
static uint64_t missed(const struct sim_trace *trace)
{
	struct sim sim;
	sim_init(&sim, &sim_keeper, 480 * MIB, 1);
	sim.guest[0] = (struct sim_guest){
		.size = 1024 * MIB, .trace = trace, .pieces = 4 * MIB, .ages = true};
	sim_run(&sim, 60 * NS_PER_S);
	ck_assert_uint_gt(sim.guest[0].given, 0);
	uint64_t refaults = sim.guest[0].told.refaults;
	sim_release(&sim);
	return refaults;
}

/* Unlike those of files that are there still. */
START_TEST(what_was_dropped_of_deleted_files_is_not_missed)
{
	static const struct sim_point deleted[] = {
		{0, 30, 0}, {1, 30, 400}, {30, 30, 0}, {40, 30, 200}};
	static const struct sim_point kept[] = {{0, 30, 0}, {1, 30, 400}, {40, 30, 600}};
	ck_assert_uint_eq(missed(&(struct sim_trace){deleted, 4, 120}), 0);
	ck_assert_uint_gt(missed(&(struct sim_trace){kept, 3, 120}), 0);
}
END_TEST

Suite *keeper_trace_suite(void);
Suite *keeper_trace_suite(void)
{
	Suite *suite = suite_create("keeper_trace");
	TCase *tcase = tcase_create("ci");
	tcase_add_test(tcase, a_day);
	tcase_add_test(tcase, what_was_dropped_of_deleted_files_is_not_missed);
	suite_add_tcase(suite, tcase);
	return suite;
}
