// SPDX-License-Identifier: Apache-2.0
/* The keeper's policy, one decision at a time; test_keeper_sim.c has what follows from many. */
#include <check.h>
#include <string.h>

#include "tests/unit/keeper_round.h"

/* --- the host ------------------------------------------------------------------------------ */

START_TEST(a_host_that_is_not_short_asks_nobody)
{
	static const struct {
		const struct keeper_host *host;
		bool asks;
	} cases[] = {{&plenty, false},
		     {&near, false},
		     {&stalled, true},
		     {&useless, false},
		     {&tight, true}};
	struct round round;
	round_begin(&round, 1, &usual);
	ck_assert_uint_eq(round_decide(&round, cases[_i].host, START), cases[_i].asks);
	ck_assert(round.guest[0].asked == cases[_i].asks);
}
END_TEST

START_TEST(a_short_host_goes_on_up_to_the_high_mark)
{
	struct round round;
	round_begin(&round, 2, &usual);
	round_decide(&round, &tight, START);
	ck_assert(round.policy.tight);
	round_decide(&round, &near, START);
	ck_assert(round.policy.tight);
	round_decide(&round, &plenty, START);
	ck_assert(!round.policy.tight);
	round_decide(&round, &near, START);
	ck_assert(!round.policy.tight);
}
END_TEST

START_TEST(marks_fit_the_host)
{
	static const uint64_t totals[] = {0, 64, 1536, 8192, 1 << 20};
	static const uint64_t lows[] = {32, 32, 192, 1024, 2048};
	struct keeper_host host = {.total = totals[_i] * MIB};
	ck_assert_uint_eq(keeper_low(&host), lows[_i] * MIB);
	ck_assert_uint_eq(keeper_high(&host), 2 * lows[_i] * MIB);
}
END_TEST

START_TEST(it_looks_more_often_the_less_there_is)
{
	struct keeper_policy policy = keeper_policy_start(0);
	const struct keeper_guest guest = {.looked = true};
	uint64_t before = 0;
	uint64_t guests_before = 0;
	for (uint64_t available = 0; available <= 65536; available += 256) {
		struct keeper_host host = {65536 * MIB, available * MIB, false};
		round_decide(&(struct round){.policy = policy}, &host, START);
		policy.tight = available < 2048;
		uint64_t pause = keeper_host_pause(&policy, &host);
		uint64_t guests = keeper_guest_pause(&policy, &host, &guest);
		/* Short up to the low mark of 2 GiB; above it by the time in which 4 GiB a second fill it. */
		if (available <= 2048)
			ck_assert_uint_eq(pause, 50 * NS_PER_MS);
		if (available == 2048 + 4096)
			ck_assert_uint_eq(pause / NS_PER_MS, 999); /* rounded down */
		ck_assert_uint_le(pause, 10 * NS_PER_S);
		ck_assert(guests >= NS_PER_S && guests <= 60 * NS_PER_S);
		ck_assert(pause >= before && guests >= guests_before);
		before = pause;
		guests_before = guests;
	}
	ck_assert_uint_eq(before, 10 * NS_PER_S);
	ck_assert_uint_eq(guests_before, 60 * NS_PER_S);
}
END_TEST

/* --- which guest, for what ------------------------------------------------------------------ */

START_TEST(what_is_free_and_held_back_comes_first)
{
	struct round round;
	round_begin(&round, 1, &usual);
	ck_assert_uint_eq(round_decide(&round, &tight, START), 1);
	ck_assert_int_eq(round.action[0].means, KEEPER_REPORT);
	ck_assert_uint_eq(round.action[0].expected, 256 * MIB);
	ck_assert_uint_eq(round.action[0].cache, 0);
}
END_TEST

START_TEST(then_caches_by_half_of_what_is_spare)
{
	struct round round;
	round_begin(&round, 1, &reported);
	ck_assert_uint_eq(round_decide(&round, &tight, START), 1);
	ck_assert_int_eq(round.action[0].means, KEEPER_CACHE);
	ck_assert_uint_eq(round.action[0].cache, 120 * MIB);
}
END_TEST

/* But little may bring nothing in whole pieces, and then pass for a guest that cannot give. */
START_TEST(no_more_cache_than_the_host_lacks)
{
	static const uint64_t cases[][2] = {{40 * MIB, 40 * MIB}, {1 * MIB, 16 * MIB}};
	struct round round;
	round_begin(&round, 1, &reported);
	round.policy.tight = true;
	struct keeper_host host = {8192 * MIB, 2048 * MIB - cases[_i][0], false};
	ck_assert_uint_eq(round_decide(&round, &host, START), 1);
	ck_assert_uint_eq(round.action[0].cache, cases[_i][1]);
}
END_TEST

/* Nor is it too little by a small share, after failures or of a heavy guest. All that is spare, if that is less. */
START_TEST(not_too_little_cache_by_a_share)
{
	static const struct {
		uint64_t weight, caches, cache;
		unsigned int share;
	} cases[] = {{100, 256 * MIB, 16 * MIB, 8},
		     {800, 256 * MIB, 16 * MIB, 128},
		     {100, 256 * MIB, 60 * MIB, 64},
		     {100, 26 * MIB, 10 * MIB, 128},
		     {100, 18 * MIB, 0, 128}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct keeper_figures figures = reported;
		struct round round;
		figures.weight = cases[i].weight;
		figures.caches = cases[i].caches;
		round_begin(&round, 1, &figures);
		round.guest[0].pacing[true].share = cases[i].share;
		size_t asked = round_decide(&round, &tight, START);
		ck_assert_uint_eq(asked, cases[i].cache != 0);
		ck_assert_uint_eq(asked ? round.action[0].cache : 0, cases[i].cache);
	}
}
END_TEST

START_TEST(a_weight_divides_what_is_asked_for)
{
	/* Of 240 MiB that are spare; 0 and more than there is are no weights that a user sets. */
	static const struct {
		uint64_t weight, cache;
	} cases[] = {{0, 120},	{100, 120}, {200, 60},	{400, 30},
		     {50, 240}, {1, 240},   {10000, 0}, {UINT64_MAX, 0}};
	struct round round;
	struct keeper_figures figures = reported;
	figures.weight = cases[_i].weight;
	round_begin(&round, 1, &figures);
	round.guest[0].left = keeper_held(&figures);
	size_t asked = round_decide(&round, &tight, START);
	ck_assert_uint_eq(asked, cases[_i].cache != 0);
	if (asked)
		ck_assert_uint_eq(round.action[0].cache / MIB, cases[_i].cache);
}
END_TEST

START_TEST(the_lighter_guest_comes_first)
{
	struct round round;
	struct keeper_figures heavy = reported;
	heavy.weight = 2 * KEEPER_WEIGHT;
	round_begin(&round, 2, &reported);
	round_look(&round, 0, heavy, START);
	ck_assert_uint_eq(round_decide(&round, &tight, START), 2);
	ck_assert_uint_eq(round.action[0].guest, 1);
	ck_assert_uint_eq(round.action[1].guest, 0);
}
END_TEST

START_TEST(idle_guests_pay_first_and_busy_ones_less)
{
	struct round round;
	struct keeper_figures busy = reported;
	round_begin(&round, 3, &reported);
	busy.faults = 100000;
	busy.size = 2048 * MIB;
	busy.resident = 1792 * MIB;
	busy.caches = 1568 * MIB;
	round_look(&round, 0, busy, START + NS_PER_S);
	round_look(&round, 1, reported, START + NS_PER_S);
	round_look(&round, 2, reported, START + NS_PER_S);
	ck_assert_uint_eq(round_decide(&round, &tight, START + NS_PER_S), 3);
	ck_assert(round.action[0].idle && round.action[1].idle && !round.action[2].idle);
	ck_assert_uint_eq(round.action[2].guest, 0);
	/* Half of what is spare, and a quarter of that. */
	ck_assert_uint_eq(round.action[2].cache, 192 * MIB);
}
END_TEST

START_TEST(a_guest_that_has_stopped_working_is_idle_after_a_while)
{
	struct round round;
	struct keeper_figures busy = reported;
	round_begin(&round, 1, &reported);
	busy.faults = 100000;
	round_look(&round, 0, busy, START + NS_PER_S);
	ck_assert(!keeper_is_idle(&round.guest[0]));
	round_look(&round, 0, busy, START + 7 * NS_PER_S);
	ck_assert(keeper_is_idle(&round.guest[0]));
}
END_TEST

START_TEST(some_guests_are_never_asked)
{
	struct keeper_figures cases[] = {usual, usual, usual, usual, usual};
	cases[0].running = false;
	cases[1].reclaims = false;
	cases[2].told = false;
	/* Nothing to give. */
	cases[3].free = cases[3].caches = 0;
	/* Its ebb holds nothing, whatever the guest tells. */
	cases[4].resident = 0;
	cases[4].free = cases[4].caches = UINT64_MAX;
	struct round round;
	round_begin(&round, 1, &cases[_i]);
	ck_assert_uint_eq(round_decide(&round, &tight, START), 0);
}
END_TEST

START_TEST(figures_may_be_anything)
{
	static const uint64_t values[] = {0, 1, MIB, UINT64_MAX / 2, UINT64_MAX};
	struct round round;
	for (unsigned int i = 0; i < 3125; i++) {
		struct keeper_figures figures = {
			.running = true,
			.reclaims = true,
			.told = true,
			.size = values[i % 5],
			.resident = values[i / 5 % 5],
			.ballooned = values[i / 25 % 5],
			.free = values[i / 125 % 5],
			.caches = values[i / 625],
			.faults = values[i % 5],
			.reread = values[i % 5],
			.deflates = i % 2,
			.target = values[i / 5 % 5],
			.leased = values[i / 125 % 5],
			.available = values[i / 625],
		};
		round_begin(&round, 1, &figures);
		for (uint64_t now = START; now < START + 4 * NS_PER_S; now += NS_PER_S) {
			if (round_decide(&round, &tight, now)) {
				ck_assert_uint_le(round.action[0].expected, figures.resident);
				ck_assert(round.action[0].means != KEEPER_BALLOON || i % 2 ||
					  figures.leased);
				keeper_answered(&round.guest[0], KEEPER_DONE, values[i % 5], now);
			}
			round_look(&round, 0, figures, now);
		}
	}
}
END_TEST

START_TEST(a_new_guest_keeps_its_caches_until_it_is_known_to_be_idle)
{
	struct round round;
	round = (struct round){.policy = keeper_policy_start(0), .count = 1};
	round.list[0] = &round.guest[0];
	keeper_look(&round.guest[0], &reported, START);
	ck_assert_uint_eq(round_decide(&round, &tight, START), 0);
	round_look(&round, 0, reported, START + 6 * NS_PER_S);
	ck_assert_uint_eq(round_decide(&round, &tight, START + 6 * NS_PER_S), 1);
	ck_assert_uint_eq(round.action[0].cache, 120 * MIB);
}
END_TEST

START_TEST(old_figures_decide_nothing)
{
	struct round round;
	round_begin(&round, 1, &usual);
	ck_assert_uint_eq(round_decide(&round, &tight, START + 60 * NS_PER_S), 0);
	round_look(&round, 0, usual, START + 60 * NS_PER_S);
	ck_assert_uint_eq(round_decide(&round, &tight, START + 60 * NS_PER_S), 1);
}
END_TEST

/* --- bounds --------------------------------------------------------------------------------- */

START_TEST(no_second_request_before_the_answer_and_a_look)
{
	struct round round;
	round_begin(&round, 1, &usual);
	ck_assert_uint_eq(round_decide(&round, &tight, START), 1);
	round_look(&round, 0, usual, START + 100 * NS_PER_S);
	ck_assert_uint_eq(round_decide(&round, &tight, START + 100 * NS_PER_S), 0);
	keeper_answered(&round.guest[0], KEEPER_DONE, 256 * MIB, START + 100 * NS_PER_S);
	ck_assert_uint_eq(round_decide(&round, &tight, START + 102 * NS_PER_S), 0);
	round_look(&round, 0, reported, START + 102 * NS_PER_S);
	ck_assert_uint_eq(round_decide(&round, &tight, START + 102 * NS_PER_S), 1);
	ck_assert_int_eq(round.action[0].means, KEEPER_CACHE);
}
END_TEST

START_TEST(a_mute_guest_is_asked_again_only_after_a_sign)
{
	struct round round;
	round_begin(&round, 1, &usual);
	ck_assert_uint_eq(round_decide(&round, &tight, START), 1);
	keeper_answered(&round.guest[0], KEEPER_MUTE, 0, START);
	struct keeper_figures old = round.guest[0].now;
	uint64_t later = START + 1000 * NS_PER_S;
	keeper_look(&round.guest[0], &old, later);
	ck_assert_uint_eq(round_decide(&round, &tight, later), 0);
	round_look(&round, 0, usual, later);
	ck_assert_uint_eq(round_decide(&round, &tight, later), 1);
}
END_TEST

START_TEST(requests_in_flight_and_a_second_are_limited)
{
	enum { MANY = 500 };
	static struct keeper_guest guest[MANY];
	static struct keeper_guest *list[MANY];
	struct keeper_action action[KEEPER_REQUESTS_MAX];
	struct keeper_policy policy = keeper_policy_start(START);
	struct keeper_host host = {UINT64_C(1) << 40, 0, false};
	size_t total = 0;
	struct keeper_figures small = usual;
	small.free = 8 * MIB;
	for (size_t i = 0; i < MANY; i++) {
		list[i] = &guest[i];
		keeper_look(list[i], &small, START);
	}
	ck_assert_uint_eq(keeper_decide(&policy, &host, list, MANY, START, action),
			  KEEPER_REQUESTS_MAX);
	/* None answers: nobody else is asked. */
	ck_assert_uint_eq(keeper_decide(&policy, &host, list, MANY, START + NS_PER_S, action), 0);
	for (uint64_t now = START + NS_PER_S; now < START + 5 * NS_PER_S; now += NS_PER_S / 100) {
		for (size_t i = 0; i < MANY; i++)
			if (guest[i].asked)
				keeper_answered(&guest[i], KEEPER_DONE, 0, now);
		for (size_t i = 0; i < MANY; i++)
			guest[i].looked_at = now;
		total += keeper_decide(&policy, &host, list, MANY, now, action);
	}
	ck_assert_uint_le(total, 4 * KEEPER_RATE + KEEPER_REQUESTS_MAX);
	ck_assert_uint_ge(total, 4 * KEEPER_RATE - KEEPER_REQUESTS_MAX);
}
END_TEST

START_TEST(what_is_in_flight_is_not_asked_for_twice_but_not_for_long)
{
	struct round round;
	struct keeper_figures large = usual;
	large.size = large.resident = 4096 * MIB;
	large.free = 2048 * MIB;
	round_begin(&round, 2, &large);
	ck_assert_uint_eq(round_decide(&round, &tight, START), 1);
	ck_assert_uint_eq(round_decide(&round, &tight, START + NS_PER_S / 2), 0);
	ck_assert_uint_eq(round_decide(&round, &tight, START + 2 * NS_PER_S), 1);
}
END_TEST

Suite *keeper_suite(void);
Suite *keeper_suite(void)
{
	Suite *suite = suite_create("keeper");
	TCase *tcase = tcase_create("policy");
	tcase_add_loop_test(tcase, a_host_that_is_not_short_asks_nobody, 0, 5);
	tcase_add_test(tcase, a_short_host_goes_on_up_to_the_high_mark);
	tcase_add_loop_test(tcase, marks_fit_the_host, 0, 5);
	tcase_add_test(tcase, it_looks_more_often_the_less_there_is);
	tcase_add_test(tcase, what_is_free_and_held_back_comes_first);
	tcase_add_test(tcase, then_caches_by_half_of_what_is_spare);
	tcase_add_loop_test(tcase, no_more_cache_than_the_host_lacks, 0, 2);
	tcase_add_test(tcase, not_too_little_cache_by_a_share);
	tcase_add_loop_test(tcase, a_weight_divides_what_is_asked_for, 0, 8);
	tcase_add_test(tcase, the_lighter_guest_comes_first);
	tcase_add_test(tcase, idle_guests_pay_first_and_busy_ones_less);
	tcase_add_test(tcase, a_guest_that_has_stopped_working_is_idle_after_a_while);
	tcase_add_test(tcase, a_new_guest_keeps_its_caches_until_it_is_known_to_be_idle);
	tcase_add_test(tcase, old_figures_decide_nothing);
	tcase_add_loop_test(tcase, some_guests_are_never_asked, 0, 5);
	tcase_add_test(tcase, figures_may_be_anything);
	tcase_add_test(tcase, no_second_request_before_the_answer_and_a_look);
	tcase_add_test(tcase, a_mute_guest_is_asked_again_only_after_a_sign);
	tcase_add_test(tcase, requests_in_flight_and_a_second_are_limited);
	tcase_add_test(tcase, what_is_in_flight_is_not_asked_for_twice_but_not_for_long);
	suite_add_tcase(suite, tcase);
	return suite;
}
