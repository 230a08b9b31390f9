// SPDX-License-Identifier: Apache-2.0
/*
 * What follows from many decisions of the keeper, as properties of simulated days. Each property
 * has a control: a policy that breaks it, which the same check must find.
 */
#include <check.h>
#include <string.h>

#include "tests/unit/keeper_sim.h"
#include "vmm/lib/clock.h"

#define MIB  (UINT64_C(1) << 20)
#define HOUR (3600 * NS_PER_S)

/* --- wrong policies ------------------------------------------------------------------------ */

/* Learns nothing from what its requests cost. */
static enum keeper_verdict look_and_forget(struct keeper_guest *guest,
					   const struct keeper_figures *figures, uint64_t now)
{
	enum keeper_verdict verdict = keeper_look(guest, figures, now);
	for (int idle = 0; idle < 2; idle++)
		guest->pacing[idle] = (struct keeper_pacing){.share = 256};
	return verdict;
}
static const struct sim_policy forgetful = {keeper_decide, look_and_forget};

/* Does not know which guests are idle. */
static enum keeper_verdict look_the_wrong_way(struct keeper_guest *guest,
					      const struct keeper_figures *figures, uint64_t now)
{
	enum keeper_verdict verdict = keeper_look(guest, figures, now);
	guest->busy_at = guest->busy_at == now ? 0 : now;
	return verdict;
}
static const struct sim_policy blind = {keeper_decide, look_the_wrong_way};

/* Knows only the first guests. */
static size_t decide_for_few(struct keeper_policy *policy, const struct keeper_host *host,
			     struct keeper_guest *const *guest, size_t count, uint64_t now,
			     struct keeper_action *action)
{
	return keeper_decide(policy, host, guest, (count + 7) / 8, now, action);
}
static const struct sim_policy partial = {decide_for_few, keeper_look};

/* Forgets what it has asked for. */
static size_t decide_hastily(struct keeper_policy *policy, const struct keeper_host *host,
			     struct keeper_guest *const *guest, size_t count, uint64_t now,
			     struct keeper_action *action)
{
	policy->pace = pace_start(KEEPER_RATE, KEEPER_REQUESTS_MAX, now);
	for (size_t i = 0; i < count; i++)
		guest[i]->asked = guest[i]->mute = guest[i]->answered = false;
	return keeper_decide(policy, host, guest, count, now, action);
}
static const struct sim_policy hasty = {decide_hastily, keeper_look};

/* One guest each half minute. */
static size_t decide_slowly(struct keeper_policy *policy, const struct keeper_host *host,
			    struct keeper_guest *const *guest, size_t count, uint64_t now,
			    struct keeper_action *action)
{
	if (now % (30 * NS_PER_S) != 0)
		return 0;
	policy->pace = pace_start(1, 1, now);
	return keeper_decide(policy, host, guest, count, now, action);
}
static const struct sim_policy sluggish = {decide_slowly, keeper_look};

/* Does not ask what a guest needs, and knows no other means than the balloon. */
static enum keeper_verdict look_greedily(struct keeper_guest *guest,
					 const struct keeper_figures *figures, uint64_t now)
{
	struct keeper_figures more = *figures;
	more.available = more.size + 1024 * MIB;
	more.free = more.size;
	more.reclaims = false;
	enum keeper_verdict verdict = keeper_look(guest, &more, now);
	guest->lease.need = false;
	return verdict;
}
static const struct sim_policy greedy = {keeper_decide, look_greedily};

/* Keeps what it has. */
static size_t decide_to_keep(struct keeper_policy *policy, const struct keeper_host *host,
			     struct keeper_guest *const *guest, size_t count, uint64_t now,
			     struct keeper_action *action)
{
	for (size_t i = 0; i < count; i++)
		guest[i]->lease.changed_at = now;
	return keeper_decide(policy, host, guest, count, now, action);
}
static const struct sim_policy possessive = {decide_to_keep, keeper_look};

/* --- no oscillation ------------------------------------------------------------------------ */

/* Caches in use are all that there is to take: bytes that guests read again, per guest and hour. */
static uint64_t rereads_when_all_is_hot(const struct sim_policy *policy)
{
	enum { GUESTS = 16, HOURS = 12 };
	struct sim sim;
	sim_init(&sim, policy, 16384 * MIB, GUESTS);
	for (size_t i = 0; i < GUESTS; i++)
		sim.guest[i] = (struct sim_guest){.size = 1024 * MIB,
						  .base = 400 * MIB,
						  .hot = 512 * MIB,
						  .pieces = 10 * MIB};
	/* Even with nothing to take the host stays short. */
	sim.hog = 1000 * MIB;
	sim_run(&sim, HOUR);
	uint64_t before = 0;
	uint64_t after = 0;
	for (size_t i = 0; i < GUESTS; i++)
		before += sim.guest[i].reread;
	sim_run(&sim, HOURS * HOUR);
	for (size_t i = 0; i < GUESTS; i++)
		after += sim.guest[i].reread;
	sim_release(&sim);
	return (after - before) / GUESTS / HOURS;
}

START_TEST(caches_in_use_do_not_swing)
{
	/* A request each five minutes at most, of an ever smaller share. */
	ck_assert_uint_le(rereads_when_all_is_hot(&sim_keeper), 256 * MIB);
	ck_assert_uint_gt(rereads_when_all_is_hot(&forgetful), 10 * 256 * MIB);
}
END_TEST

/* --- no starvation ------------------------------------------------------------------------- */

struct paid {
	uint64_t least, most; /* by an idle guest */
	uint64_t busy;	      /* read again by the busy one */
};

/* Equal idle guests full of cold caches, and one that works from its own. */
static struct paid pay(const struct sim_policy *policy)
{
	enum { GUESTS = 16 };
	struct sim sim;
	struct paid paid = {.least = UINT64_MAX};
	sim_init(&sim, policy, 16384 * MIB, GUESTS);
	for (size_t i = 0; i < GUESTS; i++)
		sim.guest[i] = (struct sim_guest){.size = 1024 * MIB,
						  .base = 200 * MIB,
						  .caches = 700 * MIB,
						  .pieces = 10 * MIB};
	sim.guest[GUESTS - 1].hot = 700 * MIB;
	sim.guest[GUESTS - 1].turn = sim.guest[GUESTS - 1].busy = HOUR;
	/* Others of the host's programs take ever more. */
	for (int minute = 0; minute < 60; minute++) {
		sim.hog += 100 * MIB;
		sim_run(&sim, 60 * NS_PER_S);
	}
	for (size_t i = 0; i < GUESTS - 1; i++) {
		uint64_t given = sim.guest[i].given;
		paid.least = given < paid.least ? given : paid.least;
		paid.most = given > paid.most ? given : paid.most;
	}
	paid.busy = sim.guest[GUESTS - 1].reread;
	sim_release(&sim);
	return paid;
}

START_TEST(equal_idle_guests_pay_alike)
{
	struct paid good = pay(&sim_keeper);
	struct paid bad = pay(&partial);
	ck_assert_uint_gt(good.least, 0);
	ck_assert_uint_le(good.most, 3 * good.least);
	ck_assert_uint_gt(bad.most, 3 * bad.least);
}
END_TEST

START_TEST(a_guest_at_work_keeps_its_caches)
{
	ck_assert_uint_eq(pay(&sim_keeper).busy, 0);
	ck_assert_uint_gt(pay(&blind).busy, 100 * MIB);
}
END_TEST

/* --- weights ------------------------------------------------------------------------------- */

/* Looks as a keeper would that knows no weights. */
static enum keeper_verdict look_past_weights(struct keeper_guest *guest,
					     const struct keeper_figures *figures, uint64_t now)
{
	struct keeper_figures seen = *figures;
	seen.weight = 0;
	return keeper_look(guest, &seen, now);
}

static const struct sim_policy egalitarian = {keeper_decide, look_past_weights};

/* What two idle guests gave that differ in weight alone, once the host had taken so much of both. */
static void give(const struct sim_policy *policy, uint64_t given[2])
{
	struct sim sim;
	sim_init(&sim, policy, 4096 * MIB, 2);
	for (size_t i = 0; i < 2; i++) {
		sim.guest[i] = (struct sim_guest){
			.size = 2048 * MIB, .base = 200 * MIB, .caches = 1500 * MIB};
		sim.guest[i].told.weight = i ? 4 * KEEPER_WEIGHT : KEEPER_WEIGHT;
	}
	for (int minute = 0; minute < 10; minute++) {
		sim.hog += 120 * MIB;
		sim_run(&sim, 60 * NS_PER_S);
	}
	for (size_t i = 0; i < 2; i++)
		given[i] = sim.guest[i].given;
	sim_release(&sim);
}

START_TEST(a_heavier_guest_pays_less)
{
	uint64_t good[2], bad[2];
	give(&sim_keeper, good);
	give(&egalitarian, bad);
	ck_assert_uint_gt(good[1], 0);
	ck_assert_uint_ge(good[0], 2 * good[1]);
	ck_assert_uint_lt(bad[0], 2 * bad[1]);
}
END_TEST

/* --- bounds -------------------------------------------------------------------------------- */

static void many_of_all_kinds(struct sim *sim, const struct sim_policy *policy)
{
	enum { GUESTS = 400 };
	sim_init(sim, policy, UINT64_C(256) * 1024 * MIB, GUESTS);
	for (size_t i = 0; i < GUESTS; i++)
		sim->guest[i] = (struct sim_guest){.kind = i % 4,
						   .size = 1024 * MIB,
						   .base = 300 * MIB,
						   .used = 300 * MIB,
						   .caches = 300 * MIB,
						   .held = 100 * MIB,
						   .read_at = UINT64_MAX,
						   .pieces = 10 * MIB};
	sim->hog = sim_available(sim);
	sim_run(sim, 60 * NS_PER_S);
}

START_TEST(requests_a_second_are_bounded)
{
	struct sim good, bad;
	many_of_all_kinds(&good, &sim_keeper);
	many_of_all_kinds(&bad, &hasty);
	ck_assert_uint_gt(good.actions, 0);
	ck_assert_uint_le(good.most_a_second, KEEPER_RATE + KEEPER_REQUESTS_MAX);
	ck_assert_uint_gt(bad.most_a_second, KEEPER_RATE + KEEPER_REQUESTS_MAX);
	/* And none goes to a guest that did not answer the last. */
	ck_assert_uint_eq(good.unanswered, 0);
	ck_assert_uint_gt(bad.unanswered, 0);
	/* One request to each that never answers. */
	for (size_t i = SIM_MUTE; i < good.count; i += 4)
		ck_assert_uint_le(good.guest[i].requests, 1);
	sim_release(&good);
	sim_release(&bad);
}
END_TEST

/* --- convergence --------------------------------------------------------------------------- */

/* A program takes much at once; liars and mute guests offer most. Returns seconds until it is there. */
static uint64_t seconds_to_recover(const struct sim_policy *policy)
{
	enum { GUESTS = 64 };
	struct sim sim;
	sim_init(&sim, policy, 65536 * MIB, GUESTS);
	for (size_t i = 0; i < GUESTS; i++)
		sim.guest[i] = (struct sim_guest){.kind = i % 4,
						  .size = (i % 4 ? 2048 : 1024) * MIB,
						  .base = 300 * MIB,
						  .caches = 500 * MIB,
						  .pieces = 10 * MIB};
	sim_run(&sim, 600 * NS_PER_S);
	sim.hog = sim_available(&sim) - 1024 * MIB;
	uint64_t took = sim_until(&sim, 3900 * MIB, 600 * NS_PER_S);
	sim_release(&sim);
	return took / NS_PER_S;
}

START_TEST(a_short_host_recovers_in_seconds)
{
	ck_assert_uint_le(seconds_to_recover(&sim_keeper), 6);
	ck_assert_uint_gt(seconds_to_recover(&sluggish), 6);
}
END_TEST

/* --- a day --------------------------------------------------------------------------------- */

/*
 * Sizes of four times the host, what is needed at a time 0.8 times at the most, and balloons that do not give way: seconds
 * without memory. @ages: the guests tell how old their caches are.
 */
static uint64_t seconds_without_memory(const struct sim_policy *policy, bool ages, struct sim *sim)
{
	enum { GUESTS = 32, TOTAL = 8192 };
	sim_init(sim, policy, TOTAL * MIB, GUESTS);
	for (size_t i = 0; i < GUESTS; i++) {
		uint64_t turn = 600 + sim_random(sim, 3600);
		sim->guest[i] = (struct sim_guest){.size = 1024 * MIB,
						   .base = 60 * MIB,
						   .work = 60 * MIB + sim_random(sim, 60) * MIB,
						   .files = 180 * MIB,
						   .hot = 30 * MIB,
						   .turn = turn * NS_PER_S,
						   .busy = turn / 6 * NS_PER_S,
						   .offset = sim_random(sim, turn) * NS_PER_S,
						   .delay = 7 * NS_PER_S,
						   .pieces = 10 * MIB,
						   .ages = ages,
						   .deflates = true,
						   .kills = true};
	}
	sim_run(sim, 24 * HOUR);
	return sim->swapped / NS_PER_S;
}

static uint64_t processes_killed(const struct sim *sim)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < sim->count; i++)
		sum += sim->guest[i].killed;
	return sum;
}

/* Without ages, and with. */
START_TEST(a_day_at_four_times_the_host)
{
	struct sim good, bad;
	ck_assert_uint_eq(seconds_without_memory(&sim_keeper, _i, &good), 0);
	ck_assert_uint_eq(processes_killed(&good), 0);
	ck_assert_uint_gt(seconds_without_memory(&sim_absent, _i, &bad), HOUR / NS_PER_S);
	ck_assert_uint_le(good.needed_most, good.total / 100 * 82);
	ck_assert_uint_ge(good.needed_most, good.total / 100 * 75);
	/* Between short and not: not more often than once a minute. */
	ck_assert_uint_le(good.flips / 2, 24 * 60);
	sim_release(&good);
	sim_release(&bad);
	seconds_without_memory(&greedy, _i, &bad);
	ck_assert_uint_gt(processes_killed(&bad), 0);
	sim_release(&bad);
}
END_TEST

/* --- leases -------------------------------------------------------------------------------- */

/* Guests with stock kernels, so the balloon is all there is, on a host that stays short. */
static void run_lent(struct sim *sim, const struct sim_policy *policy, uint64_t work, bool kills,
		     uint64_t ns)
{
	enum { GUESTS = 16 };
	sim_init(sim, policy, 16384 * MIB, GUESTS);
	for (size_t i = 0; i < GUESTS; i++)
		sim->guest[i] = (struct sim_guest){.size = 1024 * MIB,
						   .base = 200 * MIB,
						   .work = work,
						   .hot = work ? 600 * MIB : 0,
						   .caches = 600 * MIB,
						   .stock = true,
						   .turn = 300 * NS_PER_S,
						   .busy = 60 * NS_PER_S,
						   .offset = i * 20 * NS_PER_S,
						   .pieces = 10 * MIB,
						   .deflates = true,
						   .kills = kills};
	sim->hog = 3000 * MIB;
	sim_run(sim, ns);
}

START_TEST(leases_do_not_swing)
{
	enum { HOURS = 4 };
	uint64_t moves[2] = {0};
	for (int i = 0; i < 2; i++) {
		struct sim sim;
		run_lent(&sim, i ? &forgetful : &sim_keeper, 150 * MIB, false, HOURS * HOUR);
		for (size_t g = 0; g < sim.count; g++)
			moves[i] += sim.guest[g].moves;
		moves[i] /= sim.count;
		sim_release(&sim);
	}
	/* One each turn of work, of five minutes, and a few that probe. */
	ck_assert_uint_ge(moves[0], 1);
	ck_assert_uint_le(moves[0], 2 * HOURS * 12);
	ck_assert_uint_gt(moves[1], 10 * HOURS * 12);
}
END_TEST

/* Even of guests that would not take memory back from a balloon: times that one killed. */
static uint64_t kills(const struct sim_policy *policy, uint64_t *moves)
{
	struct sim sim;
	uint64_t killed = 0;
	run_lent(&sim, policy, 200 * MIB, true, 2 * HOUR);
	for (size_t i = 0; i < sim.count; i++) {
		killed += sim.guest[i].killed;
		*moves += sim.guest[i].moves;
	}
	sim_release(&sim);
	return killed;
}

START_TEST(no_guest_kills_for_what_it_lent)
{
	uint64_t moves = 0, others = 0;
	ck_assert_uint_eq(kills(&sim_keeper, &moves), 0);
	ck_assert_uint_gt(moves, 16);
	ck_assert_uint_gt(kills(&greedy, &others), 0);
}
END_TEST

/* What is lent when the host is short, and three minutes after it has plenty. */
static uint64_t lent(const struct sim *sim)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < sim->count; i++)
		sum += sim->guest[i].balloon;
	return sum;
}

START_TEST(all_comes_back_when_there_is_plenty)
{
	static const struct sim_policy *const policy[] = {&sim_keeper, &possessive};
	for (int i = 0; i < 2; i++) {
		struct sim sim;
		uint64_t before = 0;
		run_lent(&sim, policy[i], 0, false, 60 * NS_PER_S);
		for (int second = 0; second < 600 && !before; second++) {
			sim_run(&sim, NS_PER_S);
			before = lent(&sim);
		}
		ck_assert_uint_gt(before, 0);
		sim.total *= 4;
		sim_run(&sim, 180 * NS_PER_S);
		ck_assert_msg(i ? lent(&sim) > 0 : lent(&sim) == 0, "policy %d", i);
		/* And if the keeper dies, by the leases' end. */
		sim.policy = sim_absent;
		sim_run(&sim, (KEEPER_LEASE_S + 10) * NS_PER_S);
		ck_assert_uint_eq(lent(&sim), 0);
		sim_release(&sim);
	}
}
END_TEST

/* --- cost ---------------------------------------------------------------------------------- */

START_TEST(ten_thousand_guests)
{
	enum { GUESTS = 10000 };
	struct sim sim;
	sim_init(&sim, &sim_keeper, UINT64_C(8) * 1024 * 1024 * MIB, GUESTS);
	for (size_t i = 0; i < GUESTS; i++)
		sim.guest[i] = (struct sim_guest){
			.size = 1024 * MIB, .base = 300 * MIB, .caches = 500 * MIB};
	sim.hog = sim.total - UINT64_C(10000) * 800 * MIB - 1024 * MIB;
	ck_assert_uint_le(sim_until(&sim, 3900 * MIB, 60 * NS_PER_S), 6 * NS_PER_S);
	sim_release(&sim);
}
END_TEST

Suite *keeper_sim_suite(void);
Suite *keeper_sim_suite(void)
{
	Suite *suite = suite_create("keeper_sim");
	TCase *tcase = tcase_create("properties");
	tcase_add_test(tcase, caches_in_use_do_not_swing);
	tcase_add_test(tcase, equal_idle_guests_pay_alike);
	tcase_add_test(tcase, a_guest_at_work_keeps_its_caches);
	tcase_add_test(tcase, a_heavier_guest_pays_less);
	tcase_add_test(tcase, requests_a_second_are_bounded);
	tcase_add_test(tcase, a_short_host_recovers_in_seconds);
	tcase_add_loop_test(tcase, a_day_at_four_times_the_host, 0, 2);
	tcase_add_test(tcase, leases_do_not_swing);
	tcase_add_test(tcase, no_guest_kills_for_what_it_lent);
	tcase_add_test(tcase, all_comes_back_when_there_is_plenty);
	tcase_add_test(tcase, ten_thousand_guests);
	suite_add_tcase(suite, tcase);
	return suite;
}
