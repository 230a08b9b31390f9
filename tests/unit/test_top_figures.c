// SPDX-License-Identifier: Apache-2.0
/* The figures of `ebb top`: what two answers of a guest come to. */
#include <check.h>
#include <string.h>

#include "tests/unit/top_samples.h"
#include "vmm/control/guest_stat.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/text.h"
#include "vmm/top/columns.h"

START_TEST(an_answer_becomes_figures)
{
	json_t *stat = json_pack(
		"{s:s, s:i, s:{s:I, s:I}, s:{s:I}, s:{s:i, s:{s:I}}, s:[{s:i, s:i}, {s:i}], s:[]}",
		"status", "run\033ning", "cpus", 2, "memory", "size", 1024 * MIB, "rss", 5 * MIB,
		"balloon", "actual", 7 * MIB, "guest-stats", "updates", 3, "stats",
		"stat-free-memory", 9 * MIB, "disks", "read-bytes", 1, "written-bytes", 2,
		"read-bytes", 4, "networks");
	struct top_sample sample = top_sample_of(stat, 77);
	json_decref(stat);
	ck_assert_str_eq(sample.status, "run\\x1bning");
	ck_assert_uint_eq(sample.at, 77);
	ck_assert_uint_eq(sample.size, 1024 * MIB);
	ck_assert_uint_eq(sample.resident, 5 * MIB);
	ck_assert_uint_eq(sample.own, 5 * MIB);
	ck_assert_uint_eq(sample.balloon, 7 * MIB);
	ck_assert_uint_eq(sample.free, 9 * MIB);
	ck_assert_uint_eq(sample.updates, 3);
	ck_assert_uint_eq(sample.disk, 7);
	ck_assert_uint_eq(sample.network, TOP_UNKNOWN);
	ck_assert_uint_eq(sample.reported, TOP_UNKNOWN);
}
END_TEST

START_TEST(memory_is_what_guest_and_host_say)
{
	struct top_figures guest;
	top_figures_init(&guest, "a", 1);
	top_figures_take(&guest, &top_usual);
	ck_assert_uint_eq(guest.used, 660 * MIB);
	ck_assert_uint_eq(guest.excess, 240 * MIB);
	/* One that says more than it has. */
	struct top_sample liar = top_later(top_usual, NS_PER_S);
	liar.free = INT64_MAX;
	liar.updates++;
	top_figures_take(&guest, &liar);
	ck_assert_uint_eq(guest.used, 0);
	ck_assert_uint_eq(guest.excess, 900 * MIB);
}
END_TEST

START_TEST(old_statistics_are_not_shown)
{
	struct top_figures guest;
	struct top_sample sample = top_usual;
	top_figures_init(&guest, "a", 1);
	sample.updates = 0;
	top_figures_take(&guest, &sample);
	ck_assert_uint_eq(guest.used, TOP_UNKNOWN);
	ck_assert_uint_eq(guest.excess, TOP_UNKNOWN);
	sample = top_later(top_usual, NS_PER_S);
	top_figures_take(&guest, &sample);
	ck_assert_uint_eq(guest.used, 660 * MIB);
	sample = top_later(sample, 30 * NS_PER_S);
	top_figures_take(&guest, &sample);
	ck_assert_uint_eq(guest.used, TOP_UNKNOWN);
	/* A paused guest's do not grow old. */
	strcpy(sample.status, "paused");
	sample = top_later(sample, NS_PER_S);
	top_figures_take(&guest, &sample);
	ck_assert_uint_eq(guest.used, 660 * MIB);
}
END_TEST

START_TEST(rates_are_of_a_second)
{
	struct top_figures guest;
	top_figures_init(&guest, "a", 1);
	top_figures_take(&guest, &top_usual);
	ck_assert_uint_eq(guest.reported, TOP_UNKNOWN);
	struct top_sample next = top_later(top_usual, 2 * NS_PER_S);
	next.reported = 10 * MIB;
	next.cpu = 3 * NS_PER_S;
	top_figures_take(&guest, &next);
	ck_assert_uint_eq(guest.reported, 5 * MIB);
	ck_assert_uint_eq(guest.cpu, 1500);
	ck_assert_uint_eq(guest.stalls, TOP_UNKNOWN);
	/* A counter that starts anew, one that leaps, and no time at all. */
	next = top_later(next, NS_PER_S);
	next.reported = 0;
	next.disk = INT64_MAX;
	top_figures_take(&guest, &next);
	ck_assert_uint_eq(guest.reported, TOP_UNKNOWN);
	ck_assert_uint_eq(guest.disk, INT64_MAX);
	next.reported = MIB;
	top_figures_take(&guest, &next);
	ck_assert_uint_eq(guest.reported, TOP_UNKNOWN);
}
END_TEST

/* Of statistics asked for 2 s after those before, the counter grew by so many ms, or started anew. When it is looked at does not matter. */
START_TEST(pressure_is_a_share_of_the_time)
{
	static const struct {
		uint64_t before_ms, now_ms, psi;
	} cases[] = {
		{5000, 5000, 0},
		{5000, 5500, 250},
		{5000, 7000, 1000},
		/* More than there was time, and whatever else a guest may say. */
		{5000, 9000, 1000},
		{5000, 4000, TOP_UNKNOWN},
		{0, INT64_MAX / 1000, 1000},
	};
	struct top_figures guest;
	struct top_sample sample = top_usual;
	top_figures_init(&guest, "a", 1);
	/* What others asked for, perhaps long ago. */
	top_figures_take(&guest, &sample);
	ck_assert_uint_eq(top_figure(&guest, TOP_PSI), TOP_UNKNOWN);
	sample = top_later(sample, NS_PER_S);
	sample.updates++;
	sample.asked = sample.at - NS_PER_S;
	sample.stalled = cases[_i].before_ms * 1000;
	top_figures_take(&guest, &sample);
	ck_assert_uint_eq(top_figure(&guest, TOP_PSI), TOP_UNKNOWN);
	/* A look that finds the same statistics tells nothing new: those it asked for last are to come. */
	struct top_sample same = top_later(sample, NS_PER_S);
	same.asked += NS_PER_S;
	top_figures_take(&guest, &same);
	ck_assert_uint_eq(top_figure(&guest, TOP_PSI), TOP_UNKNOWN);
	sample = top_later(sample, 300 * NS_PER_S);
	sample.updates++;
	sample.asked += 2 * NS_PER_S;
	sample.stalled = cases[_i].now_ms * 1000;
	top_figures_take(&guest, &sample);
	ck_assert_uint_eq(top_figure(&guest, TOP_PSI), cases[_i].psi);
	/* It stays while the statistics do, and goes with them. */
	sample = top_later(sample, NS_PER_S);
	top_figures_take(&guest, &sample);
	ck_assert_uint_eq(top_figure(&guest, TOP_PSI), cases[_i].psi);
	sample = top_later(sample, 30 * NS_PER_S);
	top_figures_take(&guest, &sample);
	ck_assert_uint_eq(top_figure(&guest, TOP_PSI), TOP_UNKNOWN);
}
END_TEST

/* Also those are of the time between two requests, and none is known of statistics that others asked for. */
START_TEST(stalls_are_of_a_second)
{
	struct top_figures guest;
	struct top_sample sample = top_usual;
	top_figures_init(&guest, "a", 1);
	sample.stalls = 10;
	top_figures_take(&guest, &sample);
	for (unsigned int i = 0; i < 3; i++) {
		sample = top_later(sample, 100 * NS_PER_S);
		sample.updates++;
		sample.asked = (20 + 2 * i) * NS_PER_S;
		sample.stalls += i ? 8 : 100000;
		top_figures_take(&guest, &sample);
		ck_assert_uint_eq(guest.stalls, i ? 4 : TOP_UNKNOWN);
	}
	/* Its socket was opened anew. */
	sample.updates++;
	sample.asked = 0;
	top_figures_take(&guest, &sample);
	ck_assert_uint_eq(guest.stalls, TOP_UNKNOWN);
}
END_TEST

START_TEST(sums_do_not_overflow)
{
	ck_assert_uint_eq(top_sum(1, 2), 3);
	ck_assert_uint_eq(top_sum(TOP_UNKNOWN, 2), 2);
	ck_assert_uint_eq(top_sum(1, TOP_UNKNOWN), 1);
	ck_assert_uint_eq(top_sum(INT64_MAX, INT64_MAX), TOP_UNKNOWN - 1);
	ck_assert_uint_eq(top_sum(TOP_UNKNOWN - 1, TOP_UNKNOWN - 1), TOP_UNKNOWN - 1);
}
END_TEST

START_TEST(history_keeps_the_newest)
{
	struct top_figures guest;
	struct top_sample sample = top_usual;
	top_figures_init(&guest, "a", 1);
	ck_assert_uint_eq(top_history(&guest, TOP_CURVE_HELD, 0), TOP_UNKNOWN);
	for (uint64_t i = 0; i < TOP_HISTORY + 10; i++) {
		sample = top_later(sample, NS_PER_S);
		sample.resident = sample.own = i;
		top_figures_take(&guest, &sample);
	}
	ck_assert_uint_eq(top_history(&guest, TOP_CURVE_HELD, 0), TOP_HISTORY + 9);
	ck_assert_uint_eq(top_history(&guest, TOP_CURVE_HELD, TOP_HISTORY - 1), 10);
	ck_assert_uint_eq(top_history(&guest, TOP_CURVE_HELD, TOP_HISTORY), TOP_UNKNOWN);
}
END_TEST

/* A second after its third answer, of which each case changes something. */
START_TEST(a_guest_that_rests_is_not_asked_for_a_while)
{
	enum {
		RESTS,
		HAS_RUN,
		RAN_BEFORE,
		READS,
		BALLOON_MOVES,
		NO_CPU,
		LONG_AGO,
		SILENT,
		OLD,
		PAUSED
	};
	struct top_figures guest;
	struct top_sample sample = top_usual;
	bool rests = _i == RESTS || _i == PAUSED;
	sample.target = sample.balloon;
	/* Its statistics will be 10 s old, or 9; a paused guest's do not grow old. */
	sample.asked = sample.at - (_i == OLD || _i == PAUSED ? 6 : 5) * NS_PER_S;
	if (_i == PAUSED)
		strcpy(sample.status, "paused");
	sample.cpu = NS_PER_S;
	top_figures_init(&guest, "a", 1);
	for (int i = 0; i < 3; i++) {
		ck_assert(!top_figures_rest(&guest, sample.cpu, sample.at + NS_PER_S));
		sample = top_later(sample, NS_PER_S);
		if (i == 2 && _i == RAN_BEFORE)
			sample.cpu += NS_PER_S / 50;
		if (i == 2 && _i == READS)
			sample.disk += MIB;
		if (i == 2 && _i == BALLOON_MOVES)
			sample.target += MIB;
		if (_i == NO_CPU)
			sample.cpu = TOP_UNKNOWN;
		top_figures_take(&guest, &sample);
	}
	guest.answers = _i != SILENT;
	uint64_t cpu = sample.cpu + (_i == HAS_RUN ? NS_PER_S / 50 : 0);
	/* A frame may come a little early. */
	uint64_t now = sample.at + (_i == LONG_AGO ? 49 * NS_PER_S / 10 : NS_PER_S);
	ck_assert(top_figures_rest(&guest, cpu, now) == rests);
	/* Its curves have a sample for each frame. */
	ck_assert_uint_eq(guest.samples, rests ? 4 : 3);
	ck_assert_uint_eq(top_history(&guest, TOP_CURVE_HELD, 0), sample.own);
}
END_TEST

/* What it does after it rested for 4 s was done in the second since. The control: a guest that was not looked at for 5 s. */
START_TEST(rates_after_a_rest_are_of_the_last_frame)
{
	struct top_figures guest;
	struct top_sample sample = top_usual;
	sample.target = sample.balloon;
	top_figures_init(&guest, "a", 1);
	for (int i = 0; i < 3; i++) {
		sample = top_later(sample, NS_PER_S);
		top_figures_take(&guest, &sample);
	}
	for (uint64_t i = 1; _i == 0 && i <= 4; i++)
		ck_assert(top_figures_rest(&guest, i * NS_PER_MS, sample.at + i * NS_PER_S));
	for (uint64_t i = 0; i < 2; i++) {
		sample = top_later(sample, i ? NS_PER_S : 5 * NS_PER_S);
		sample.cpu += 504 * NS_PER_MS;
		sample.disk += 5 * MIB;
		top_figures_take(&guest, &sample);
		ck_assert_uint_eq(guest.cpu, i ? 504 : _i ? 101 : 500);
		ck_assert_uint_eq(guest.disk, i || _i == 0 ? 5 * MIB : MIB);
	}
}
END_TEST

START_TEST(ages_are_in_order)
{
	struct top_figures guest;
	struct top_sample sample = top_aged();
	top_figures_init(&guest, "a", 1);
	top_figures_take(&guest, &sample);
	ck_assert_uint_eq(guest.ages[TOP_FILES].bytes[TOP_1H], (300 * MIB) >> TOP_1H);
	ck_assert_uint_eq(guest.both.bytes[TOP_ALL], 400 * MIB);
	ck_assert_uint_eq(top_figure(&guest, TOP_AGES), 100 * MIB);
	/* More is old than there is. */
	sample.ages[TOP_FILES].bytes[TOP_1H] = INT64_MAX;
	top_figures_take(&guest, &sample);
	ck_assert_uint_eq(guest.ages[TOP_FILES].bytes[TOP_1H], (300 * MIB) >> TOP_10MIN);
	/* One that does not tell all of it, and one whose statistics are old, tell nothing. */
	sample.ages[TOP_FILES].bytes[TOP_10MIN] = TOP_UNKNOWN;
	top_figures_take(&guest, &sample);
	ck_assert_uint_eq(guest.ages[TOP_FILES].bytes[TOP_ALL], TOP_UNKNOWN);
	ck_assert_uint_eq(guest.ages[TOP_PROGRAMS].bytes[TOP_ALL], 100 * MIB);
	ck_assert_uint_eq(top_figure(&guest, TOP_AGES), TOP_UNKNOWN);
	sample = top_later(top_aged(), 30 * NS_PER_S);
	top_figures_take(&guest, &sample);
	ck_assert_uint_eq(guest.ages[TOP_PROGRAMS].bytes[TOP_ALL], TOP_UNKNOWN);
}
END_TEST

Suite *top_figures_suite(void);
Suite *top_figures_suite(void)
{
	Suite *suite = suite_create("top's figures");
	TCase *tests = tcase_create("figures");
	tcase_add_test(tests, an_answer_becomes_figures);
	tcase_add_test(tests, memory_is_what_guest_and_host_say);
	tcase_add_test(tests, old_statistics_are_not_shown);
	tcase_add_test(tests, rates_are_of_a_second);
	tcase_add_loop_test(tests, pressure_is_a_share_of_the_time, 0, 6);
	tcase_add_test(tests, stalls_are_of_a_second);
	tcase_add_test(tests, sums_do_not_overflow);
	tcase_add_test(tests, history_keeps_the_newest);
	tcase_add_loop_test(tests, a_guest_that_rests_is_not_asked_for_a_while, 0, 10);
	tcase_add_loop_test(tests, rates_after_a_rest_are_of_the_last_frame, 0, 2);
	tcase_add_test(tests, ages_are_in_order);
	suite_add_tcase(suite, tests);
	return suite;
}
