// SPDX-License-Identifier: Apache-2.0
/* The keeper's policy: what guests want back, and how soon and for how much they are asked again. */
#include <check.h>

#include "tests/unit/keeper_round.h"
#include "tests/unit/keeper_sim.h"

/* Asks the only guest, which gives all; returns what it was asked for. */
static uint64_t ask_cache(struct round *round, uint64_t now)
{
	if (round_decide(round, &tight, now) == 0)
		return 0;
	ck_assert_int_eq(round->action[0].means, KEEPER_CACHE);
	keeper_answered(&round->guest[0], KEEPER_DONE, round->action[0].cache, now);
	return round->action[0].cache;
}

/* How @figures are after @bytes of caches came. */
static struct keeper_figures without(struct keeper_figures figures, uint64_t bytes)
{
	figures.caches -= bytes;
	figures.resident -= bytes;
	return figures;
}

START_TEST(caches_that_grow_back_are_left_alone_twice_as_long_each_time)
{
	struct round round;
	uint64_t now = START;
	uint64_t waited = 0;
	uint64_t asked_before = UINT64_MAX;
	round_begin(&round, 1, &reported);
	for (int i = 0; i < 5; i++) {
		uint64_t asked = ask_cache(&round, now);
		ck_assert_uint_gt(asked, 0);
		ck_assert_uint_le(asked, asked_before);
		asked_before = asked;
		round_look(&round, 0, without(reported, asked), now);
		round_look(&round, 0, reported, now + NS_PER_S);
		ck_assert(!round.guest[0].watch_until);
		uint64_t from = now + NS_PER_S;
		for (now = from; round.guest[0].pacing[true].not_before[KEEPER_CACHE] > now;
		     now += NS_PER_S) {
			round_look(&round, 0, reported, now);
			ck_assert_uint_eq(ask_cache(&round, now), 0);
		}
		ck_assert_uint_ge(now - from, 2 * waited);
		waited = now - from;
		round_look(&round, 0, reported, now);
	}
	/* Less is not worth a request. */
	ck_assert_uint_eq(asked_before, 16 * MIB);
}
END_TEST

START_TEST(what_is_read_again_counts_too)
{
	struct round round;
	round_begin(&round, 1, &reported);
	uint64_t asked = ask_cache(&round, START);
	struct keeper_figures after = without(reported, asked);
	round_look(&round, 0, after, START);
	after.reread = asked / 2;
	after.updates = 100;
	ck_assert_int_eq(keeper_look(&round.guest[0], &after, START + NS_PER_S), KEEPER_TOO_MUCH);
}
END_TEST

/* Half of it at first; and half a second later all that is spare, if nothing was missed. */
START_TEST(an_idle_guest_that_bears_it_gives_the_rest_at_once)
{
	struct round round;
	uint64_t soon = START + NS_PER_S / 2;
	round_begin(&round, 1, &reported);
	ck_assert_uint_eq(ask_cache(&round, START), 120 * MIB);
	round_look(&round, 0, without(reported, 120 * MIB), START);
	ck_assert_uint_eq(keeper_guest_pause(&round.policy, &tight, &round.guest[0]), soon - START);
	ck_assert_uint_eq(ask_cache(&round, soon - 1), 0);
	round_look(&round, 0, without(reported, 120 * MIB), soon);
	ck_assert_uint_eq(keeper_guest_pause(&round.policy, &tight, &round.guest[0]), NS_PER_S);
	ck_assert_uint_eq(ask_cache(&round, soon), 120 * MIB);
}
END_TEST

/* What it was asked for, what it missed before, and whether it still tells its figures: all the same. */
START_TEST(a_guest_that_was_asked_is_looked_at_sooner_once)
{
	static const struct {
		const struct keeper_figures *figures;
		uint64_t pause;
		bool tells;
	} cases[] = {{&reported, 0, true},
		     {&reported, 4 * NS_PER_S, true},
		     {&reported, 0, false},
		     {&usual, 0, true}};
	struct round round;
	round_begin(&round, 1, cases[_i].figures);
	round.guest[0].pacing[true].pause[KEEPER_CACHE] = cases[_i].pause;
	ck_assert_uint_eq(round_decide(&round, &tight, START), 1);
	struct keeper_figures after = without(*cases[_i].figures, round.action[0].cache);
	if (round.action[0].means == KEEPER_REPORT)
		after.resident -= round.action[0].expected;
	after.told = cases[_i].tells;
	keeper_answered(&round.guest[0], KEEPER_DONE, round.action[0].expected, START);
	round_look(&round, 0, after, START);
	ck_assert_uint_eq(keeper_guest_pause(&round.policy, &tight, &round.guest[0]), NS_PER_S / 2);
	for (uint64_t now = START + NS_PER_S / 2; now < START + 9 * NS_PER_S; now += NS_PER_S) {
		round_look(&round, 0, after, now);
		ck_assert(round.guest[0].watch_until);
		ck_assert_uint_eq(keeper_guest_pause(&round.policy, &tight, &round.guest[0]),
				  NS_PER_S);
	}
}
END_TEST

/* Of guests that missed something once, again, and of one at work. */
START_TEST(a_host_about_to_swap_asks_idle_guests_for_twice_as_much)
{
	static const struct keeper_host urgent = {8192 * MIB, 500 * MIB, false};
	static const struct {
		uint64_t pause;
		bool busy;
		uint64_t cache;
	} cases[] = {{4 * NS_PER_S, false, 120 * MIB},
		     {8 * NS_PER_S, false, 60 * MIB},
		     {4 * NS_PER_S, true, 30 * MIB}};
	struct round round;
	round_begin(&round, 1, &reported);
	struct keeper_pacing *pacing = &round.guest[0].pacing[!cases[_i].busy];
	pacing->share = cases[_i].busy ? 128 : 64;
	pacing->pause[KEEPER_CACHE] = cases[_i].pause;
	if (cases[_i].busy)
		round.guest[0].busy_at = START;
	ck_assert_uint_eq(round_decide(&round, &urgent, START), 1);
	ck_assert_uint_eq(round.action[0].cache, cases[_i].cache);
}
END_TEST

/* The same of one that missed it; that had missed it; that is at work. */
START_TEST(others_do_not)
{
	struct round round;
	uint64_t soon = START + NS_PER_S / 2;
	struct keeper_figures after = reported;
	round_begin(&round, 1, &reported);
	struct keeper_pacing *pacing = &round.guest[0].pacing[_i != 2];
	if (_i == 1)
		pacing->pause[KEEPER_CACHE] = 4 * NS_PER_S;
	if (_i == 2)
		round.guest[0].busy_at = START;
	unsigned int share = pacing->share;
	uint64_t asked = ask_cache(&round, START);
	after = without(reported, asked);
	if (_i == 0)
		after.reread += asked / 2;
	round_look(&round, 0, after, soon);
	ck_assert_uint_gt(asked, 0);
	ck_assert_uint_eq(pacing->share, _i == 0 ? share / 2 : share);
}
END_TEST

START_TEST(what_stays_away_is_probed_for_more_slowly)
{
	struct round round;
	round_begin(&round, 1, &reported);
	/* It wanted it back not long ago. */
	round.guest[0].pacing[true].pause[KEEPER_CACHE] = 4 * NS_PER_S;
	uint64_t asked = ask_cache(&round, START);
	unsigned int share = round.guest[0].pacing[true].share;
	round_look(&round, 0, without(reported, asked), START + 5 * NS_PER_S);
	ck_assert_uint_eq(round.guest[0].pacing[true].share, share);
	round_look(&round, 0, without(reported, asked), START + 11 * NS_PER_S);
	ck_assert_uint_gt(round.guest[0].pacing[true].share, share);
	ck_assert_uint_lt(round.guest[0].pacing[true].share, 2 * share);
}
END_TEST

START_TEST(only_what_was_cached_is_watched)
{
	struct round round;
	round_begin(&round, 1, &reported);
	ck_assert_uint_eq(round_decide(&round, &tight, START), 1);
	uint64_t asked = round.action[0].cache;
	/* Free memory came with it. */
	keeper_answered(&round.guest[0], KEEPER_DONE, 3 * asked, START);
	round_look(&round, 0, without(reported, asked), START);
	ck_assert(round.guest[0].watch_until);
	round_look(&round, 0, without(reported, asked / 2), START + NS_PER_S);
	ck_assert(!round.guest[0].watch_until);
	ck_assert_uint_gt(round.guest[0].pacing[true].pause[KEEPER_CACHE], 0);
}
END_TEST

START_TEST(a_failure_is_forgiven_in_time)
{
	struct round round;
	round_begin(&round, 1, &reported);
	uint64_t *pause = &round.guest[0].pacing[true].pause[KEEPER_CACHE];
	*pause = 64 * NS_PER_S;
	uint64_t asked = ask_cache(&round, START);
	round_look(&round, 0, without(reported, asked), START + 11 * NS_PER_S);
	ck_assert_uint_eq(*pause, 32 * NS_PER_S);
}
END_TEST

START_TEST(what_came_decides_when_a_guest_is_asked_again)
{
	static const struct {
		enum keeper_answer answer;
		unsigned int came; /* percent */
		bool paused;
	} cases[] = {
		{KEEPER_DONE, 100, false}, {KEEPER_DONE, 13, false}, {KEEPER_DONE, 12, true},
		{KEEPER_LATE, 51, false},  {KEEPER_LATE, 49, true},  {KEEPER_REFUSED, 0, true},
		{KEEPER_MUTE, 0, true},
	};
	struct round round;
	round_begin(&round, 1, &reported);
	ck_assert_uint_eq(round_decide(&round, &tight, START), 1);
	keeper_answered(&round.guest[0], cases[_i].answer,
			round.action[0].expected / 100 * cases[_i].came, START);
	struct keeper_pacing *pacing = &round.guest[0].pacing[true];
	ck_assert(pacing->not_before[KEEPER_CACHE] > START);
	ck_assert((pacing->pause[KEEPER_CACHE] > 0) == cases[_i].paused);
}
END_TEST

START_TEST(a_rhythm_is_left_alone)
{
	struct round round;
	round_begin(&round, 1, &usual);
	ck_assert_uint_eq(round_decide(&round, &tight, START), 1);
	keeper_answered(&round.guest[0], KEEPER_DONE, 256 * MIB, START);
	round_look(&round, 0, reported, START);
	round_look(&round, 0, usual, START + NS_PER_S);
	ck_assert_uint_gt(round.guest[0].pacing[true].not_before[KEEPER_REPORT],
			  START + 4 * NS_PER_S);
}
END_TEST

START_TEST(a_liar_is_asked_ever_more_seldom)
{
	struct round round;
	size_t asked = 0;
	round_begin(&round, 1, &usual);
	for (uint64_t now = START; now < START + 3600 * NS_PER_S; now += NS_PER_S) {
		if (round_decide(&round, &tight, now)) {
			asked++;
			keeper_answered(&round.guest[0], KEEPER_DONE, 0, now);
		}
		round_look(&round, 0, usual, now);
	}
	/* Two or three means, each after 4, 8, 16 … 300 seconds. */
	ck_assert_uint_le(asked, 60);
	ck_assert_uint_ge(asked, 10);
}
END_TEST

START_TEST(a_guest_that_killed_is_left_alone)
{
	struct round round;
	struct keeper_figures figures = usual;
	round_begin(&round, 1, &usual);
	figures.kills = 1;
	ck_assert_int_eq(keeper_look(&round.guest[0], &figures, START), KEEPER_KILLED);
	round_look(&round, 0, figures, START + 500 * NS_PER_S);
	ck_assert_uint_eq(round_decide(&round, &tight, START + 500 * NS_PER_S), 0);
	round_look(&round, 0, figures, START + 700 * NS_PER_S);
	ck_assert_uint_eq(round_decide(&round, &tight, START + 700 * NS_PER_S), 1);
}
END_TEST

START_TEST(scattered_memory_is_moved_together_last)
{
	struct round round;
	struct keeper_figures figures = usual;
	figures.caches = 0;
	round_begin(&round, 1, &figures);
	ck_assert_uint_eq(round_decide(&round, &tight, START), 1);
	/* The guest reports 156 of 256 MiB: the rest is in pieces. */
	keeper_answered(&round.guest[0], KEEPER_DONE, 156 * MIB, START);
	figures.resident -= 156 * MIB;
	round_look(&round, 0, figures, START + 2 * NS_PER_S);
	ck_assert_uint_eq(round_decide(&round, &tight, START + 2 * NS_PER_S), 1);
	ck_assert_int_eq(round.action[0].means, KEEPER_COMPACT);
}
END_TEST

/* --- who has just come ---------------------------------------------------------------------- */

/* Leaves a guest that it meets alone until it can know whether that is idle. */
static enum keeper_verdict look_shyly(struct keeper_guest *guest,
				      const struct keeper_figures *figures, uint64_t now)
{
	bool met = guest->looked;
	enum keeper_verdict verdict = keeper_look(guest, figures, now);
	for (int idle = 0; idle < 2 && !met; idle++)
		guest->pacing[idle].not_before[KEEPER_CACHE] = now + 5 * NS_PER_S;
	return verdict;
}
static const struct sim_policy shy = {keeper_decide, look_shyly};

/*
 * Guests that have just started and read files once, when the host's programs take more than is left. Returns for how
 * long the host swapped.
 */
static uint64_t swapped_when_all_are_new(const struct sim_policy *policy)
{
	enum { ALL = 6 };
	struct sim sim;
	sim_init(&sim, policy, 1536 * MIB, ALL);
	for (size_t i = 0; i < ALL; i++)
		sim.guest[i] = (struct sim_guest){.size = 1024 * MIB,
						  .base = 60 * MIB,
						  .files = 150 * MIB,
						  .turn = 3600 * NS_PER_S,
						  .busy = NS_PER_S};
	sim_run(&sim, 2 * NS_PER_S);
	ck_assert_uint_eq(sim.actions, 0);
	sim.hog = 300 * MIB;
	sim_run(&sim, 10 * NS_PER_S);
	uint64_t swapped = sim.swapped;
	sim_release(&sim);
	return swapped;
}

START_TEST(a_short_host_need_not_wait_for_new_guests)
{
	ck_assert_uint_le(swapped_when_all_are_new(&sim_keeper), NS_PER_S);
	ck_assert_uint_gt(swapped_when_all_are_new(&shy), 2 * NS_PER_S);
}
END_TEST

Suite *keeper_pacing_suite(void);
Suite *keeper_pacing_suite(void)
{
	Suite *suite = suite_create("keeper_pacing");
	TCase *tcase = tcase_create("pacing");
	tcase_add_test(tcase, caches_that_grow_back_are_left_alone_twice_as_long_each_time);
	tcase_add_test(tcase, what_is_read_again_counts_too);
	tcase_add_test(tcase, an_idle_guest_that_bears_it_gives_the_rest_at_once);
	tcase_add_loop_test(tcase, a_guest_that_was_asked_is_looked_at_sooner_once, 0, 4);
	tcase_add_loop_test(tcase, a_host_about_to_swap_asks_idle_guests_for_twice_as_much, 0, 3);
	tcase_add_loop_test(tcase, others_do_not, 0, 3);
	tcase_add_test(tcase, what_stays_away_is_probed_for_more_slowly);
	tcase_add_test(tcase, only_what_was_cached_is_watched);
	tcase_add_test(tcase, a_failure_is_forgiven_in_time);
	tcase_add_loop_test(tcase, what_came_decides_when_a_guest_is_asked_again, 0, 7);
	tcase_add_test(tcase, a_rhythm_is_left_alone);
	tcase_add_test(tcase, a_liar_is_asked_ever_more_seldom);
	tcase_add_test(tcase, a_guest_that_killed_is_left_alone);
	tcase_add_test(tcase, scattered_memory_is_moved_together_last);
	tcase_add_test(tcase, a_short_host_need_not_wait_for_new_guests);
	suite_add_tcase(suite, tcase);
	return suite;
}
