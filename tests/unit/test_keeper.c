// SPDX-License-Identifier: Apache-2.0
/* The keeper's policy, one decision at a time; test_keeper_sim.c has what follows from many. */
#include <check.h>
#include <string.h>

#include "vmm/keeper/decide.h"
#include "vmm/lib/clock.h"

#define MIB    (UINT64_C(1) << 20)
#define START  (1000 * NS_PER_S)
#define GUESTS 4

/* 8 GiB: short below 1 GiB, no longer from 2 GiB on. */
static const struct keeper_host plenty = {8192 * MIB, 3000 * MIB, false};
static const struct keeper_host near = {8192 * MIB, 1500 * MIB, false};
static const struct keeper_host stalled = {8192 * MIB, 1500 * MIB, true};
static const struct keeper_host useless = {8192 * MIB, 3000 * MIB, true};
static const struct keeper_host tight = {8192 * MIB, 1000 * MIB, false};

/* 1 GiB, all of it resident, of which 256 MiB are free and 256 are caches. */
static const struct keeper_figures usual = {
	.running = true,
	.reclaims = true,
	.told = true,
	.size = 1024 * MIB,
	.resident = 1024 * MIB,
	.free = 256 * MIB,
	.caches = 256 * MIB,
	.updates = 1,
};
/* The same, with nothing held back. */
static const struct keeper_figures reported = {
	.running = true,
	.reclaims = true,
	.told = true,
	.size = 1024 * MIB,
	.resident = 768 * MIB,
	.free = 256 * MIB,
	.caches = 256 * MIB,
	.updates = 1,
};

/* What a decision needs, and gives. */
struct round {
	struct keeper_policy policy;
	struct keeper_guest guest[GUESTS];
	struct keeper_guest *list[GUESTS];
	struct keeper_action action[KEEPER_REQUESTS_MAX];
	size_t count;
};

static void begin(struct round *round, size_t count, const struct keeper_figures *figures)
{
	*round = (struct round){.policy = keeper_policy_start(0), .count = count};
	for (size_t i = 0; i < count; i++) {
		round->list[i] = &round->guest[i];
		/* Looked at since long ago: idle. */
		keeper_look(&round->guest[i], figures, 0);
		keeper_look(&round->guest[i], figures, START);
	}
}

static size_t decide(struct round *round, const struct keeper_host *host, uint64_t now)
{
	return keeper_decide(&round->policy, host, round->list, round->count, now, round->action);
}

static void look(struct round *round, size_t guest, struct keeper_figures figures, uint64_t now)
{
	figures.updates = round->guest[guest].now.updates + 1;
	keeper_look(&round->guest[guest], &figures, now);
}

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
	begin(&round, 1, &usual);
	ck_assert_uint_eq(decide(&round, cases[_i].host, START), cases[_i].asks);
	ck_assert(round.guest[0].asked == cases[_i].asks);
}
END_TEST

START_TEST(a_short_host_goes_on_up_to_the_high_mark)
{
	struct round round;
	begin(&round, 2, &usual);
	decide(&round, &tight, START);
	ck_assert(round.policy.tight);
	decide(&round, &near, START);
	ck_assert(round.policy.tight);
	decide(&round, &plenty, START);
	ck_assert(!round.policy.tight);
	decide(&round, &near, START);
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
		decide(&(struct round){.policy = policy}, &host, START);
		policy.tight = available < 2048;
		uint64_t pause = keeper_host_pause(&policy, &host);
		uint64_t guests = keeper_guest_pause(&policy, &host, &guest);
		ck_assert(pause >= 100 * NS_PER_MS && pause <= 10 * NS_PER_S);
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
	begin(&round, 1, &usual);
	ck_assert_uint_eq(decide(&round, &tight, START), 1);
	ck_assert_int_eq(round.action[0].means, KEEPER_REPORT);
	ck_assert_uint_eq(round.action[0].expected, 256 * MIB);
	ck_assert_uint_eq(round.action[0].cache, 0);
}
END_TEST

START_TEST(then_caches_by_half_of_what_is_spare)
{
	struct round round;
	begin(&round, 1, &reported);
	ck_assert_uint_eq(decide(&round, &tight, START), 1);
	ck_assert_int_eq(round.action[0].means, KEEPER_CACHE);
	ck_assert_uint_eq(round.action[0].cache, 120 * MIB);
}
END_TEST

START_TEST(no_more_cache_than_the_host_lacks)
{
	struct round round;
	begin(&round, 1, &reported);
	round.policy.tight = true;
	struct keeper_host host = {8192 * MIB, 2048 * MIB - 10 * MIB, false};
	ck_assert_uint_eq(decide(&round, &host, START), 1);
	ck_assert_uint_eq(round.action[0].cache, 10 * MIB);
}
END_TEST

START_TEST(idle_guests_pay_first_and_busy_ones_less)
{
	struct round round;
	struct keeper_figures busy = reported;
	begin(&round, 3, &reported);
	busy.faults = 100000;
	busy.size = 2048 * MIB;
	busy.resident = 1792 * MIB;
	busy.caches = 1568 * MIB;
	look(&round, 0, busy, START + NS_PER_S);
	look(&round, 1, reported, START + NS_PER_S);
	look(&round, 2, reported, START + NS_PER_S);
	ck_assert_uint_eq(decide(&round, &tight, START + NS_PER_S), 3);
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
	begin(&round, 1, &reported);
	busy.faults = 100000;
	look(&round, 0, busy, START + NS_PER_S);
	ck_assert(!keeper_is_idle(&round.guest[0]));
	look(&round, 0, busy, START + 7 * NS_PER_S);
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
	begin(&round, 1, &cases[_i]);
	ck_assert_uint_eq(decide(&round, &tight, START), 0);
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
		begin(&round, 1, &figures);
		for (uint64_t now = START; now < START + 4 * NS_PER_S; now += NS_PER_S) {
			if (decide(&round, &tight, now)) {
				ck_assert_uint_le(round.action[0].expected, figures.resident);
				ck_assert(round.action[0].means != KEEPER_BALLOON || i % 2 ||
					  figures.leased);
				keeper_answered(&round.guest[0], KEEPER_DONE, values[i % 5], now);
			}
			look(&round, 0, figures, now);
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
	ck_assert_uint_eq(decide(&round, &tight, START), 0);
	look(&round, 0, reported, START + 6 * NS_PER_S);
	ck_assert_uint_eq(decide(&round, &tight, START + 6 * NS_PER_S), 1);
}
END_TEST

START_TEST(old_figures_decide_nothing)
{
	struct round round;
	begin(&round, 1, &usual);
	ck_assert_uint_eq(decide(&round, &tight, START + 60 * NS_PER_S), 0);
	look(&round, 0, usual, START + 60 * NS_PER_S);
	ck_assert_uint_eq(decide(&round, &tight, START + 60 * NS_PER_S), 1);
}
END_TEST

/* --- bounds --------------------------------------------------------------------------------- */

START_TEST(no_second_request_before_the_answer_and_a_look)
{
	struct round round;
	begin(&round, 1, &usual);
	ck_assert_uint_eq(decide(&round, &tight, START), 1);
	look(&round, 0, usual, START + 100 * NS_PER_S);
	ck_assert_uint_eq(decide(&round, &tight, START + 100 * NS_PER_S), 0);
	keeper_answered(&round.guest[0], KEEPER_DONE, 256 * MIB, START + 100 * NS_PER_S);
	ck_assert_uint_eq(decide(&round, &tight, START + 102 * NS_PER_S), 0);
	look(&round, 0, reported, START + 102 * NS_PER_S);
	ck_assert_uint_eq(decide(&round, &tight, START + 102 * NS_PER_S), 1);
	ck_assert_int_eq(round.action[0].means, KEEPER_CACHE);
}
END_TEST

START_TEST(a_mute_guest_is_asked_again_only_after_a_sign)
{
	struct round round;
	begin(&round, 1, &usual);
	ck_assert_uint_eq(decide(&round, &tight, START), 1);
	keeper_answered(&round.guest[0], KEEPER_MUTE, 0, START);
	struct keeper_figures old = round.guest[0].now;
	uint64_t later = START + 1000 * NS_PER_S;
	keeper_look(&round.guest[0], &old, later);
	ck_assert_uint_eq(decide(&round, &tight, later), 0);
	look(&round, 0, usual, later);
	ck_assert_uint_eq(decide(&round, &tight, later), 1);
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
	begin(&round, 2, &large);
	ck_assert_uint_eq(decide(&round, &tight, START), 1);
	ck_assert_uint_eq(decide(&round, &tight, START + NS_PER_S / 2), 0);
	ck_assert_uint_eq(decide(&round, &tight, START + 2 * NS_PER_S), 1);
}
END_TEST

/* --- too much ------------------------------------------------------------------------------- */

/* Asks the only guest, which gives all; returns what it was asked for. */
static uint64_t ask_cache(struct round *round, uint64_t now)
{
	if (decide(round, &tight, now) == 0)
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
	begin(&round, 1, &reported);
	for (int i = 0; i < 5; i++) {
		uint64_t asked = ask_cache(&round, now);
		ck_assert_uint_gt(asked, 0);
		ck_assert_uint_le(asked, asked_before);
		asked_before = asked;
		look(&round, 0, without(reported, asked), now);
		look(&round, 0, reported, now + NS_PER_S);
		ck_assert(!round.guest[0].watch_until);
		uint64_t from = now + NS_PER_S;
		for (now = from; round.guest[0].pacing[true].not_before[KEEPER_CACHE] > now;
		     now += NS_PER_S) {
			look(&round, 0, reported, now);
			ck_assert_uint_eq(ask_cache(&round, now), 0);
		}
		ck_assert_uint_ge(now - from, 2 * waited);
		waited = now - from;
		look(&round, 0, reported, now);
	}
	ck_assert_uint_lt(asked_before, 16 * MIB);
}
END_TEST

START_TEST(what_is_read_again_counts_too)
{
	struct round round;
	begin(&round, 1, &reported);
	uint64_t asked = ask_cache(&round, START);
	struct keeper_figures after = without(reported, asked);
	look(&round, 0, after, START);
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
	begin(&round, 1, &reported);
	ck_assert_uint_eq(ask_cache(&round, START), 120 * MIB);
	look(&round, 0, without(reported, 120 * MIB), START);
	ck_assert_uint_eq(keeper_guest_pause(&round.policy, &tight, &round.guest[0]), soon - START);
	ck_assert_uint_eq(ask_cache(&round, soon - 1), 0);
	look(&round, 0, without(reported, 120 * MIB), soon);
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
	begin(&round, 1, cases[_i].figures);
	round.guest[0].pacing[true].pause[KEEPER_CACHE] = cases[_i].pause;
	ck_assert_uint_eq(decide(&round, &tight, START), 1);
	struct keeper_figures after = without(*cases[_i].figures, round.action[0].cache);
	if (round.action[0].means == KEEPER_REPORT)
		after.resident -= round.action[0].expected;
	after.told = cases[_i].tells;
	keeper_answered(&round.guest[0], KEEPER_DONE, round.action[0].expected, START);
	look(&round, 0, after, START);
	ck_assert_uint_eq(keeper_guest_pause(&round.policy, &tight, &round.guest[0]), NS_PER_S / 2);
	for (uint64_t now = START + NS_PER_S / 2; now < START + 9 * NS_PER_S; now += NS_PER_S) {
		look(&round, 0, after, now);
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
		     {4 * NS_PER_S, true, 15 * MIB}};
	struct round round;
	begin(&round, 1, &reported);
	struct keeper_pacing *pacing = &round.guest[0].pacing[!cases[_i].busy];
	pacing->share = 64;
	pacing->pause[KEEPER_CACHE] = cases[_i].pause;
	if (cases[_i].busy)
		round.guest[0].busy_at = START;
	ck_assert_uint_eq(decide(&round, &urgent, START), 1);
	ck_assert_uint_eq(round.action[0].cache, cases[_i].cache);
}
END_TEST

/* The same of one that missed it; that had missed it; that is at work. */
START_TEST(others_do_not)
{
	struct round round;
	uint64_t soon = START + NS_PER_S / 2;
	struct keeper_figures after = reported;
	begin(&round, 1, &reported);
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
	look(&round, 0, after, soon);
	ck_assert_uint_gt(asked, 0);
	ck_assert_uint_eq(pacing->share, _i == 0 ? share / 2 : share);
}
END_TEST

START_TEST(what_stays_away_is_probed_for_more_slowly)
{
	struct round round;
	begin(&round, 1, &reported);
	/* It wanted it back not long ago. */
	round.guest[0].pacing[true].pause[KEEPER_CACHE] = 4 * NS_PER_S;
	uint64_t asked = ask_cache(&round, START);
	unsigned int share = round.guest[0].pacing[true].share;
	look(&round, 0, without(reported, asked), START + 5 * NS_PER_S);
	ck_assert_uint_eq(round.guest[0].pacing[true].share, share);
	look(&round, 0, without(reported, asked), START + 11 * NS_PER_S);
	ck_assert_uint_gt(round.guest[0].pacing[true].share, share);
	ck_assert_uint_lt(round.guest[0].pacing[true].share, 2 * share);
}
END_TEST

START_TEST(only_what_was_cached_is_watched)
{
	struct round round;
	begin(&round, 1, &reported);
	ck_assert_uint_eq(decide(&round, &tight, START), 1);
	uint64_t asked = round.action[0].cache;
	/* Free memory came with it. */
	keeper_answered(&round.guest[0], KEEPER_DONE, 3 * asked, START);
	look(&round, 0, without(reported, asked), START);
	ck_assert(round.guest[0].watch_until);
	look(&round, 0, without(reported, asked / 2), START + NS_PER_S);
	ck_assert(!round.guest[0].watch_until);
	ck_assert_uint_gt(round.guest[0].pacing[true].pause[KEEPER_CACHE], 0);
}
END_TEST

START_TEST(a_failure_is_forgiven_in_time)
{
	struct round round;
	begin(&round, 1, &reported);
	uint64_t *pause = &round.guest[0].pacing[true].pause[KEEPER_CACHE];
	*pause = 64 * NS_PER_S;
	uint64_t asked = ask_cache(&round, START);
	look(&round, 0, without(reported, asked), START + 11 * NS_PER_S);
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
	begin(&round, 1, &reported);
	ck_assert_uint_eq(decide(&round, &tight, START), 1);
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
	begin(&round, 1, &usual);
	ck_assert_uint_eq(decide(&round, &tight, START), 1);
	keeper_answered(&round.guest[0], KEEPER_DONE, 256 * MIB, START);
	look(&round, 0, reported, START);
	look(&round, 0, usual, START + NS_PER_S);
	ck_assert_uint_gt(round.guest[0].pacing[true].not_before[KEEPER_REPORT],
			  START + 4 * NS_PER_S);
}
END_TEST

START_TEST(a_liar_is_asked_ever_more_seldom)
{
	struct round round;
	size_t asked = 0;
	begin(&round, 1, &usual);
	for (uint64_t now = START; now < START + 3600 * NS_PER_S; now += NS_PER_S) {
		if (decide(&round, &tight, now)) {
			asked++;
			keeper_answered(&round.guest[0], KEEPER_DONE, 0, now);
		}
		look(&round, 0, usual, now);
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
	begin(&round, 1, &usual);
	figures.kills = 1;
	ck_assert_int_eq(keeper_look(&round.guest[0], &figures, START), KEEPER_KILLED);
	look(&round, 0, figures, START + 500 * NS_PER_S);
	ck_assert_uint_eq(decide(&round, &tight, START + 500 * NS_PER_S), 0);
	look(&round, 0, figures, START + 700 * NS_PER_S);
	ck_assert_uint_eq(decide(&round, &tight, START + 700 * NS_PER_S), 1);
}
END_TEST

START_TEST(scattered_memory_is_moved_together_last)
{
	struct round round;
	struct keeper_figures figures = usual;
	figures.caches = 0;
	begin(&round, 1, &figures);
	ck_assert_uint_eq(decide(&round, &tight, START), 1);
	/* The guest reports 156 of 256 MiB: the rest is in pieces. */
	keeper_answered(&round.guest[0], KEEPER_DONE, 156 * MIB, START);
	figures.resident -= 156 * MIB;
	look(&round, 0, figures, START + 2 * NS_PER_S);
	ck_assert_uint_eq(decide(&round, &tight, START + 2 * NS_PER_S), 1);
	ck_assert_int_eq(round.action[0].means, KEEPER_COMPACT);
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
	tcase_add_test(tcase, no_more_cache_than_the_host_lacks);
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
	suite_add_tcase(suite, tcase);
	return suite;
}
