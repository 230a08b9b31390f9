// SPDX-License-Identifier: Apache-2.0
/*
 * The keeper's policy with guests that tell how old their caches are and what the lack of memory
 * costs them, each beside the same guest that tells less.
 */
#include <check.h>

#include "tests/unit/keeper_round.h"
#include "tests/unit/keeper_sim.h"

static const struct keeper_host urgent = {8192 * MIB, 500 * MIB, false};

/* `reported`, with caches of which so many MiB were not used for 10 s, 1 min, 10 min, 1 h. */
static struct keeper_figures aged(uint64_t s10, uint64_t min1, uint64_t min10, uint64_t h1)
{
	struct keeper_figures figures = reported;
	figures.ages = figures.costs = true;
	figures.old[KEEPER_10S] = s10 * MIB;
	figures.old[KEEPER_1MIN] = min1 * MIB;
	figures.old[KEEPER_10MIN] = min10 * MIB;
	figures.old[KEEPER_1H] = h1 * MIB;
	return figures;
}

/* --- which caches -------------------------------------------------------------------------- */

/* Of 240 MiB that are spare. */
START_TEST(no_more_than_what_is_old)
{
	static const struct {
		uint64_t old[KEEPER_AGES];
		bool urgent, busy;
		uint64_t cache;
		unsigned int cold;
	} cases[] = {
		{{256, 256, 256, 256}, false, false, 240, KEEPER_COLD + KEEPER_1H},
		{{256, 200, 120, 100}, false, false, 100, KEEPER_COLD + KEEPER_1H},
		{{256, 200, 120, 60}, false, false, 120, KEEPER_COLD + KEEPER_10MIN},
		{{256, 80, 10, 0}, false, false, 80, KEEPER_COLD + KEEPER_1MIN},
		{{12, 3, 3, 3}, false, false, 12, KEEPER_COLD + KEEPER_10S},
		/* At work, and yet old. */
		{{256, 80, 10, 0}, false, true, 80, KEEPER_COLD + KEEPER_1MIN},
		/* Of younger ones a part; all of them if the host will swap soon. */
		{{160, 3, 0, 0}, false, false, 80, KEEPER_COLD + KEEPER_10S},
		{{160, 3, 0, 0}, false, true, 20, KEEPER_COLD + KEEPER_10S},
		{{160, 3, 0, 0}, true, false, 160, KEEPER_COLD + KEEPER_10S},
		{{160, 3, 0, 0}, true, true, 160, KEEPER_COLD + KEEPER_10S},
		/* All in use. */
		{{0, 0, 0, 0}, false, false, 0, 0},
		{{0, 0, 0, 0}, true, false, 0, 0},
		/* Lies. */
		{{0, UINT64_MAX / MIB, 0, UINT64_MAX / MIB},
		 true,
		 false,
		 240,
		 KEEPER_COLD + KEEPER_1H},
	};
	const uint64_t *old = cases[_i].old;
	struct round round;
	struct keeper_figures figures = aged(old[0], old[1], old[2], old[3]);
	round_begin(&round, 1, &figures);
	if (cases[_i].busy)
		round.guest[0].busy_at = START;
	size_t asked = round_decide(&round, cases[_i].urgent ? &urgent : &tight, START);
	ck_assert_uint_eq(asked, cases[_i].cache != 0);
	if (!asked)
		return;
	ck_assert_int_eq(round.action[0].means, KEEPER_CACHE);
	ck_assert_uint_eq(round.action[0].cache / MIB, cases[_i].cache);
	ck_assert_uint_eq(round.action[0].cold, cases[_i].cold);
}
END_TEST

/* A guest at work, of a host that will swap soon: after one failure, and after a second. */
START_TEST(one_that_wants_young_caches_back_gives_a_part)
{
	static const uint64_t cases[][2] = {{4 * NS_PER_S, 160 * MIB}, {8 * NS_PER_S, 20 * MIB}};
	struct round round;
	struct keeper_figures figures = aged(160, 3, 0, 0);
	round_begin(&round, 1, &figures);
	round.guest[0].busy_at = START;
	round.guest[0].pacing[false].pause[KEEPER_CACHE] = cases[_i][0];
	ck_assert_uint_eq(round_decide(&round, &urgent, START), 1);
	ck_assert_uint_eq(round.action[0].cache, cases[_i][1]);
}
END_TEST

/*
 * A host that will swap soon asks a guest from the second look on that shows what it costs, as one at
 * work of which it is not known that its caches are old; also if it tells no ages.
 */
START_TEST(a_new_guest_is_asked_for_a_part_once_its_pressure_was_seen)
{
	static const struct {
		bool ages, told;
		uint64_t stalled_ms, known_for, cache;
	} cases[] = {
		{true, true, 0, NS_PER_S, 20},
		{false, true, 0, NS_PER_S, 30},
		/* Only the second look has figures. */
		{true, false, 0, NS_PER_S, 0},
		{true, true, 500, NS_PER_S, 0},
		{false, true, 500, NS_PER_S, 0},
		/* It is known: all that it has not used. */
		{true, true, 0, 6 * NS_PER_S, 160},
		{true, false, 0, 6 * NS_PER_S, 160},
	};
	struct round round = {.policy = keeper_policy_start(0), .count = 1};
	struct keeper_figures figures = aged(160, 3, 0, 0);
	round.list[0] = &round.guest[0];
	figures.ages = cases[_i].ages;
	figures.told = cases[_i].told;
	round_look(&round, 0, figures, START);
	ck_assert_uint_eq(round_decide(&round, &urgent, START), 0);
	figures.told = true;
	figures.stalled = cases[_i].stalled_ms * NS_PER_MS;
	round_look(&round, 0, figures, START + cases[_i].known_for);
	size_t asked = round_decide(&round, &urgent, START + cases[_i].known_for);
	ck_assert_uint_eq(asked, cases[_i].cache != 0);
	if (!asked)
		return;
	ck_assert_int_eq(round.action[0].means, KEEPER_CACHE);
	ck_assert_uint_eq(round.action[0].cache / MIB, cases[_i].cache);
}
END_TEST

/* Last, one at work of which no age is known; before it one that is idle. */
START_TEST(the_guest_with_the_oldest_caches_comes_first)
{
	struct round round;
	round_begin(&round, 4, &reported);
	round.guest[0].busy_at = START;
	round_look(&round, 2, aged(240, 240, 50, 0), START);
	round_look(&round, 3, aged(40, 40, 40, 40), START);
	ck_assert_uint_eq(round_decide(&round, &urgent, START), 4);
	static const size_t order[] = {3, 2, 1, 0};
	for (size_t i = 0; i < 4; i++)
		ck_assert_uint_eq(round.action[i].guest, order[i]);
}
END_TEST

/* --- what it cost -------------------------------------------------------------------------- */

/* What a guest of which 100 MiB came shows a second later; and whether that is too much. */
START_TEST(what_is_needed_again_counts_and_what_is_new_does_not)
{
	static const struct {
		bool costs;
		uint64_t grown, reread, refaults, stalled_ms;
		enum keeper_verdict verdict;
		uint64_t back;
	} cases[] = {
		/* It reads new files. A guest that tells no more seems to want them back. */
		{true, 80, 80, 0, 0, KEEPER_QUIET, 0},
		{false, 80, 0, 0, 0, KEEPER_TOO_MUCH, 80},
		{false, 0, 80, 0, 0, KEEPER_TOO_MUCH, 80},
		/* What it misses replaces other caches. */
		{true, 0, 0, 80, 0, KEEPER_TOO_MUCH, 80},
		{false, 0, 0, 80, 0, KEEPER_QUIET, 0},
		{true, 0, 0, 20, 0, KEEPER_QUIET, 20},
		/* No more than came. */
		{true, 0, 0, 300, 0, KEEPER_TOO_MUCH, 100},
		/* It waits. */
		{true, 0, 0, 0, 30, KEEPER_TOO_MUCH, 0},
		{false, 0, 0, 0, 30, KEEPER_QUIET, 0},
		{true, 0, 0, 0, 10, KEEPER_QUIET, 0},
	};
	struct round round;
	struct keeper_figures figures = aged(100, 100, 100, 100);
	round_begin(&round, 1, &figures);
	ck_assert_uint_eq(round_decide(&round, &tight, START), 1);
	keeper_answered(&round.guest[0], KEEPER_DONE, 100 * MIB, START);
	figures.caches -= 100 * MIB;
	figures.resident -= 100 * MIB;
	figures.costs = cases[_i].costs;
	round_look(&round, 0, figures, START);
	figures.updates = 100;
	figures.caches += cases[_i].grown * MIB;
	figures.resident += cases[_i].grown * MIB;
	figures.reread = cases[_i].reread * MIB;
	figures.refaults = cases[_i].refaults * MIB;
	figures.stalled = cases[_i].stalled_ms * NS_PER_MS;
	ck_assert_int_eq(keeper_look(&round.guest[0], &figures, START + NS_PER_S),
			 cases[_i].verdict);
	ck_assert_uint_eq(round.guest[0].back, cases[_i].back * MIB);
}
END_TEST

/* For 10 seconds it keeps its caches, but what it holds free is no loss. */
START_TEST(a_guest_whose_tasks_wait_is_left_alone)
{
	struct round round;
	struct keeper_figures figures = aged(200, 200, 200, 200);
	round_begin(&round, 1, &figures);
	figures.stalled = NS_PER_S / 2;
	round_look(&round, 0, figures, START + NS_PER_S);
	ck_assert_uint_eq(round_decide(&round, &urgent, START + NS_PER_S), 0);
	figures.resident = figures.size;
	round_look(&round, 0, figures, START + 2 * NS_PER_S);
	ck_assert_uint_eq(round_decide(&round, &urgent, START + 2 * NS_PER_S), 1);
	ck_assert_int_eq(round.action[0].means, KEEPER_REPORT);
	figures.resident = reported.resident;
	keeper_answered(&round.guest[0], KEEPER_DONE, 256 * MIB, START + 2 * NS_PER_S);
	round_look(&round, 0, figures, START + 12 * NS_PER_S);
	ck_assert_uint_eq(round_decide(&round, &urgent, START + 12 * NS_PER_S), 1);
	ck_assert_int_eq(round.action[0].means, KEEPER_CACHE);
}
END_TEST

/* The first figures, and those of a kernel that begins to tell, say nothing of now. */
START_TEST(only_what_was_waited_since_the_last_look_counts)
{
	struct keeper_guest guest = {0};
	struct keeper_figures figures = aged(0, 0, 0, 0);
	figures.stalled = 3600 * NS_PER_S;
	keeper_look(&guest, &figures, START);
	ck_assert_uint_eq(guest.pressed_at, 0);
	figures.costs = false;
	keeper_look(&guest, &figures, START + NS_PER_S);
	figures.costs = true;
	figures.stalled *= 2;
	keeper_look(&guest, &figures, START + 2 * NS_PER_S);
	ck_assert_uint_eq(guest.pressed_at, 0);
	/* And a count that falls, as after a restart. */
	figures.stalled = 0;
	keeper_look(&guest, &figures, START + 3 * NS_PER_S);
	ck_assert_uint_eq(guest.pressed_at, 0);
	figures.stalled = NS_PER_S;
	keeper_look(&guest, &figures, START + 4 * NS_PER_S);
	ck_assert_uint_eq(guest.pressed_at, START + 4 * NS_PER_S);
}
END_TEST

START_TEST(a_guest_whose_tasks_wait_gets_back_what_it_lent)
{
	struct keeper_guest guest = {0};
	struct keeper_figures figures = aged(0, 0, 0, 0);
	figures.deflates = true;
	figures.leased = figures.target = figures.ballooned = 128 * MIB;
	figures.available = 512 * MIB;
	keeper_look(&guest, &figures, START);
	ck_assert(!guest.lease.need);
	figures.stalled = _i ? NS_PER_S / 2 : 0;
	keeper_look(&guest, &figures, START + NS_PER_S);
	ck_assert(guest.lease.need == (_i == 1));
}
END_TEST

/* --- an hour ------------------------------------------------------------------------------- */

/* Looks as a keeper would whose guests tell neither ages nor what they miss. */
static enum keeper_verdict look_past_ages(struct keeper_guest *guest,
					  const struct keeper_figures *figures, uint64_t now)
{
	struct keeper_figures seen = *figures;
	seen.ages = seen.costs = false;
	return keeper_look(guest, &seen, now);
}
static const struct sim_policy ageless = {keeper_decide, look_past_ages};

/*
 * Half of the guests read the same files all the time, without a page fault, the others have read
 * theirs long ago; the host's programs take ever more. Returns what was read again, in bytes.
 */
static uint64_t read_again(const struct sim_policy *policy, uint64_t *given)
{
	enum { ALL = 16 };
	struct sim sim;
	sim_init(&sim, policy, 16384 * MIB, ALL);
	for (size_t i = 0; i < ALL; i++)
		sim.guest[i] = (struct sim_guest){.size = 1024 * MIB,
						  .base = 200 * MIB,
						  .hot = i % 2 ? 700 * MIB : 0,
						  .caches = 700 * MIB,
						  .ages = true,
						  .pieces = 10 * MIB};
	for (int minute = 0; minute < 60; minute++) {
		sim.hog += 60 * MIB;
		sim_run(&sim, 60 * NS_PER_S);
	}
	uint64_t again = 0;
	*given = 0;
	for (size_t i = 0; i < ALL; i++) {
		again += sim.guest[i].reread;
		*given += sim.guest[i].given;
	}
	ck_assert_uint_eq(sim.swapped, 0);
	sim_release(&sim);
	return again;
}

START_TEST(old_caches_go_before_those_in_use)
{
	uint64_t given[2];
	ck_assert_uint_eq(read_again(&sim_keeper, &given[0]), 0);
	ck_assert_uint_gt(read_again(&ageless, &given[1]), 1024 * MIB);
	ck_assert_uint_gt(given[0], 2048 * MIB);
}
END_TEST

Suite *keeper_age_suite(void);
Suite *keeper_age_suite(void)
{
	Suite *suite = suite_create("keeper_age");
	TCase *tcase = tcase_create("ages and costs");
	tcase_add_loop_test(tcase, no_more_than_what_is_old, 0, 13);
	tcase_add_loop_test(tcase, one_that_wants_young_caches_back_gives_a_part, 0, 2);
	tcase_add_loop_test(tcase, a_new_guest_is_asked_for_a_part_once_its_pressure_was_seen, 0,
			    7);
	tcase_add_test(tcase, the_guest_with_the_oldest_caches_comes_first);
	tcase_add_loop_test(tcase, what_is_needed_again_counts_and_what_is_new_does_not, 0, 10);
	tcase_add_test(tcase, a_guest_whose_tasks_wait_is_left_alone);
	tcase_add_test(tcase, only_what_was_waited_since_the_last_look_counts);
	tcase_add_loop_test(tcase, a_guest_whose_tasks_wait_gets_back_what_it_lent, 0, 2);
	tcase_add_test(tcase, old_caches_go_before_those_in_use);
	suite_add_tcase(suite, tcase);
	return suite;
}
