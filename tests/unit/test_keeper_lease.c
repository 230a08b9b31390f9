// SPDX-License-Identifier: Apache-2.0
/* What the keeper leases by a guest's balloon, one decision at a time. */
#include <check.h>

#include "vmm/keeper/decide.h"
#include "vmm/keeper/kept.h"
#include "vmm/lib/clock.h"

#define MIB   (UINT64_C(1) << 20)
#define START (1000 * NS_PER_S)

/* 8 GiB: short below 1 GiB, no longer from 2 GiB on, plenty from 4 GiB on. */
static const struct keeper_host tight = {8192 * MIB, 1000 * MIB, false};
static const struct keeper_host enough = {8192 * MIB, 3000 * MIB, false};
static const struct keeper_host plenty = {8192 * MIB, 5000 * MIB, false};

/* A kernel that cannot be asked, in 1 GiB that is all resident; its programs need half of it. */
static const struct keeper_figures stock = {
	.running = true,
	.told = true,
	.deflates = true,
	.size = 1024 * MIB,
	.resident = 1024 * MIB,
	.free = 256 * MIB,
	.caches = 256 * MIB,
	.available = 512 * MIB,
	.updates = 1,
};

struct round {
	struct keeper_policy policy;
	struct keeper_guest guest;
	struct keeper_action action[KEEPER_REQUESTS_MAX];
	struct keeper_figures figures;
	uint64_t now;
};

/* Looked at since long ago: idle. */
static void begin(struct round *round, const struct keeper_figures *figures)
{
	*round =
		(struct round){.policy = keeper_policy_start(0), .figures = *figures, .now = START};
	keeper_look(&round->guest, figures, 0);
	keeper_look(&round->guest, figures, START);
}

static void later(struct round *round, unsigned int seconds)
{
	round->now += seconds * NS_PER_S;
	round->figures.updates++;
	keeper_look(&round->guest, &round->figures, round->now);
}

static size_t decide(struct round *round, const struct keeper_host *host)
{
	struct keeper_guest *list[] = {&round->guest};
	return keeper_decide(&round->policy, host, list, 1, round->now, round->action);
}

/* The decision is one action: a lease of @extra. */
static void leases(struct round *round, const struct keeper_host *host, uint64_t extra)
{
	ck_assert_uint_eq(decide(round, host), 1);
	ck_assert_int_eq(round->action[0].means, KEEPER_BALLOON);
	ck_assert_uint_eq(round->action[0].extra, extra);
}

/* Does what was asked, as an honest guest does. */
static void obey(struct round *round)
{
	struct keeper_figures *figures = &round->figures;
	uint64_t more = round->action[0].extra - figures->leased;
	keeper_answered(&round->guest, KEEPER_DONE, round->action[0].extra, round->now);
	figures->leased = figures->target = figures->ballooned = round->action[0].extra;
	figures->free -= more;
	figures->available -= more;
	figures->resident -= more;
}

/* A guest that has lent 128 MiB. */
static void lend(struct round *round)
{
	begin(round, &stock);
	leases(round, &tight, 128 * MIB);
	ck_assert_uint_eq(round->action[0].expected, 128 * MIB);
	obey(round);
	later(round, 1);
}

START_TEST(the_balloon_is_the_last_means)
{
	struct round round;
	struct keeper_figures figures = stock;
	figures.reclaims = true;
	begin(&round, &figures);
	for (int means = KEEPER_REPORT; means < KEEPER_BALLOON; means++) {
		ck_assert_uint_eq(decide(&round, &tight), 1);
		ck_assert_int_eq(round.action[0].means, means);
		/* It gives nothing, and is not asked for that again soon. */
		keeper_answered(&round.guest, KEEPER_DONE, 0, round.now);
		later(&round, 1);
	}
	ck_assert_uint_eq(decide(&round, &tight), 1);
	ck_assert_int_eq(round.action[0].means, KEEPER_BALLOON);
}
END_TEST

START_TEST(some_lend_nothing)
{
	struct keeper_figures cases[] = {stock, stock, stock, stock, stock};
	cases[0].deflates = false;
	/* Four times what must stay. */
	cases[1].available = 260 * MIB;
	/* Its balloon has not arrived where somebody sent it. */
	cases[2].target = 64 * MIB;
	cases[3].resident = 0;
	struct round round;
	begin(&round, &cases[_i]);
	if (_i == 4) { /* at work */
		round.figures.faults += 100000;
		later(&round, 1);
	}
	ck_assert_uint_eq(decide(&round, &tight), 0);
	begin(&round, &stock);
	ck_assert_uint_eq(decide(&round, &tight), 1);
}
END_TEST

START_TEST(no_more_than_the_host_lacks)
{
	static const struct keeper_host nearly = {8192 * MIB, 2030 * MIB, true};
	struct round round;
	begin(&round, &stock);
	leases(&round, &nearly, 18 * MIB);
}
END_TEST

START_TEST(it_lends_ever_less)
{
	struct round round;
	uint64_t before = 128 * MIB;
	unsigned int rounds = 0;
	lend(&round);
	for (; rounds < 5 && decide(&round, &tight); rounds++) {
		uint64_t more = round.action[0].extra - round.figures.leased;
		ck_assert_uint_le(more, before / 2);
		before = more;
		obey(&round);
		later(&round, 1);
	}
	ck_assert_uint_ge(rounds, 1);
	ck_assert_uint_ge(round.figures.available, 256 * MIB);
	ck_assert(!round.guest.lease.need);
}
END_TEST

START_TEST(leases_are_renewed_in_time)
{
	struct round round;
	lend(&round);
	later(&round, 2);
	ck_assert_uint_eq(decide(&round, &enough), 0);
	for (int i = 0; i < 7; i++)
		later(&round, 2);
	leases(&round, &enough, 128 * MIB);
	ck_assert_uint_eq(round.action[0].expected, 0);
	obey(&round);
	later(&round, 2);
	ck_assert_uint_eq(decide(&round, &enough), 0);
}
END_TEST

START_TEST(leases_of_another_keeper_are_renewed_at_once)
{
	struct round round;
	struct keeper_figures figures = stock;
	figures.leased = figures.target = figures.ballooned = 64 * MIB;
	begin(&round, &figures);
	leases(&round, &enough, 64 * MIB);
}
END_TEST

START_TEST(whoever_says_nothing_is_not_renewed)
{
	struct round round;
	lend(&round);
	round.figures.told = false;
	later(&round, 20);
	ck_assert_uint_eq(decide(&round, &enough), 0);
	/* Nor is one that was not looked at. */
	lend(&round);
	round.now += 20 * NS_PER_S;
	ck_assert_uint_eq(decide(&round, &enough), 0);
}
END_TEST

/* Returns after how many seconds it may lend again. */
static unsigned int need_and_wait(struct round *round)
{
	unsigned int seconds = 0;
	leases(round, &tight, 0);
	obey(round);
	round->figures = stock;
	do {
		later(round, 1);
		seconds++;
	} while (seconds < 1000 && !decide(round, &tight));
	ck_assert_uint_lt(seconds, 1000);
	return seconds;
}

START_TEST(a_guest_in_need_gets_all_back)
{
	struct round round;
	lend(&round);
	switch (_i) {
	case 0:
		round.figures.available = 63 * MIB;
		break;
	case 1: /* reads again what it had to drop */
		round.figures.reread += 33 * MIB;
		break;
	case 2: /* took it out by itself */
		round.figures.ballooned -= 64 * MIB;
		break;
	case 3: /* at work, it needs more */
		round.figures.available = 127 * MIB;
		round.figures.faults += 1000000;
		break;
	default: /* even after it killed */
		round.figures.kills++;
		break;
	}
	later(&round, 10);
	unsigned int seconds = need_and_wait(&round);
	ck_assert_uint_ge(seconds, _i == 4 ? 600 : 4);
}
END_TEST

START_TEST(need_is_remembered_twice_as_long_each_time)
{
	struct round round;
	unsigned int before = 0;
	begin(&round, &stock);
	ck_assert_uint_eq(decide(&round, &tight), 1);
	for (int i = 0; i < 5; i++) {
		obey(&round);
		round.figures.available = 10 * MIB;
		later(&round, 1);
		unsigned int seconds = need_and_wait(&round);
		ck_assert_uint_ge(seconds + 1, 2 * before);
		before = seconds;
	}
	ck_assert_uint_ge(before, 60);
}
END_TEST

START_TEST(plenty_gives_back_by_halves)
{
	struct round round;
	uint64_t before = 128 * MIB;
	lend(&round);
	later(&round, 2);
	ck_assert_uint_eq(decide(&round, &plenty), 0);
	for (int i = 0; i < 6; i++) {
		later(&round, 10);
		leases(&round, &plenty, before / 2 < 4 * MIB ? 0 : before / 2);
		before = round.action[0].extra;
		obey(&round);
	}
	ck_assert_uint_eq(before, 0);
	later(&round, 10);
	ck_assert_uint_eq(decide(&round, &plenty), 0);
}
END_TEST

START_TEST(a_user_has_the_last_word)
{
	struct round round;
	lend(&round);
	round.figures.leased = 0;
	round.figures.target = round.figures.ballooned = 32 * MIB;
	round.figures.available = 512 * MIB;
	later(&round, 5);
	ck_assert_uint_eq(decide(&round, &tight), 0);
	later(&round, 290);
	ck_assert_uint_eq(decide(&round, &tight), 0);
	later(&round, 10);
	ck_assert_uint_eq(decide(&round, &tight), 1);
}
END_TEST

START_TEST(a_refusal_is_of_the_balloon_alone)
{
	struct round round;
	begin(&round, &stock);
	ck_assert_uint_eq(decide(&round, &tight), 1);
	keeper_answered(&round.guest, KEEPER_REFUSED, 0, round.now);
	round.figures.reclaims = true;
	later(&round, 1);
	ck_assert_uint_eq(decide(&round, &tight), 1);
	ck_assert_int_eq(round.action[0].means, KEEPER_REPORT);
}
END_TEST

/* An ebb leases no more than its guest's balloon may hold. */
START_TEST(what_was_leased_counts_not_the_wish)
{
	struct round round;
	begin(&round, &stock);
	ck_assert_uint_eq(decide(&round, &tight), 1);
	ck_assert_uint_eq(round.action[0].extra, 128 * MIB);
	keeper_answered(&round.guest, KEEPER_DONE, 48 * MIB, round.now);
	ck_assert_uint_eq(round.guest.now.leased, 48 * MIB);
	ck_assert_uint_eq(round.guest.lease.changed_at, round.now);
	/* Nothing was leased: nobody has taken a lease away, but it is not asked again at once. */
	begin(&round, &stock);
	ck_assert_uint_eq(decide(&round, &tight), 1);
	keeper_answered(&round.guest, KEEPER_DONE, 0, round.now);
	ck_assert_uint_eq(round.guest.now.leased, 0);
	ck_assert_uint_eq(round.guest.lease.changed_at, 0);
	later(&round, 1);
	ck_assert_uint_eq(decide(&round, &tight), 0);
	later(&round, 3);
	ck_assert_uint_eq(decide(&round, &tight), 1);
}
END_TEST

START_TEST(lenders_are_looked_at_more_often)
{
	struct round round;
	lend(&round);
	decide(&round, &plenty);
	ck_assert_uint_eq(keeper_guest_pause(&round.policy, &plenty, &round.guest), 2 * NS_PER_S);
	round.guest.now.leased = 0;
	ck_assert_uint_eq(keeper_guest_pause(&round.policy, &plenty, &round.guest), 60 * NS_PER_S);
}
END_TEST

/* What the status tells of is the last request that was one. */
START_TEST(to_renew_is_no_news)
{
	struct kept kept = {.seen = {.now = {.leased = 64 * MIB}}};
	struct keeper_action more = {
		.means = KEEPER_BALLOON, .expected = 8 * MIB, .extra = 72 * MIB};
	struct keeper_action same = {.means = KEEPER_BALLOON, .extra = 64 * MIB};
	struct keeper_action less = {.means = KEEPER_BALLOON, .extra = 24 * MIB};
	ck_assert(kept_note(&kept, &more, 1));
	ck_assert_uint_eq(kept.last.returned, 0);
	ck_assert(!kept_note(&kept, &same, 2));
	ck_assert_uint_eq(kept.last.at, 1);
	ck_assert(kept_note(&kept, &less, 3));
	ck_assert_uint_eq(kept.last.at, 3);
	ck_assert_uint_eq(kept.last.returned, 40 * MIB);
}
END_TEST

Suite *keeper_lease_suite(void);
Suite *keeper_lease_suite(void)
{
	Suite *suite = suite_create("keeper_lease");
	TCase *tcase = tcase_create("leases");
	tcase_add_test(tcase, the_balloon_is_the_last_means);
	tcase_add_loop_test(tcase, some_lend_nothing, 0, 5);
	tcase_add_test(tcase, no_more_than_the_host_lacks);
	tcase_add_test(tcase, it_lends_ever_less);
	tcase_add_test(tcase, leases_are_renewed_in_time);
	tcase_add_test(tcase, leases_of_another_keeper_are_renewed_at_once);
	tcase_add_test(tcase, whoever_says_nothing_is_not_renewed);
	tcase_add_loop_test(tcase, a_guest_in_need_gets_all_back, 0, 5);
	tcase_add_test(tcase, need_is_remembered_twice_as_long_each_time);
	tcase_add_test(tcase, plenty_gives_back_by_halves);
	tcase_add_test(tcase, a_user_has_the_last_word);
	tcase_add_test(tcase, a_refusal_is_of_the_balloon_alone);
	tcase_add_test(tcase, what_was_leased_counts_not_the_wish);
	tcase_add_test(tcase, lenders_are_looked_at_more_often);
	tcase_add_test(tcase, to_renew_is_no_news);
	suite_add_tcase(suite, tcase);
	return suite;
}
