// SPDX-License-Identifier: Apache-2.0
/* Which runs of pages a snapshot has, where memory is in more pieces than it may have. */
#include <check.h>

#include "vmm/snapshot/runs.h"

#define PAGE   4096
#define LOW    0x10000
#define PIECES 20000ULL

static struct snapshot_memory memory;

/* Each second page; after each 1000 of them a GiB without any. */
static void add_pieces(struct snapshot_runs *runs)
{
	snapshot_runs_begin(runs, &memory);
	for (uint64_t i = 0; i < PIECES; i++) {
		const struct gpa_range piece = {LOW + i * 2 * PAGE + (i / 1000 << 30), PAGE};
		snapshot_runs_add(runs, LOW, &piece);
	}
}

START_TEST(short_gaps_are_filled_and_no_more_than_needed)
{
	/* So many are left free for what changes between two looks. */
	const unsigned int aim = SNAPSHOT_RUNS_MAX - SNAPSHOT_RUNS_MAX / 8;
	struct snapshot_runs runs = {0};

	add_pieces(&runs);
	ck_assert(!snapshot_runs_fit(&runs));
	ck_assert_uint_eq(runs.pieces, PIECES);
	add_pieces(&runs);
	ck_assert(snapshot_runs_fit(&runs));
	ck_assert_uint_eq(memory.runs, aim);
	/* A gap that is filled costs one page, and takes one run away: the first gaps, of one page each. */
	ck_assert_uint_eq(memory.pages, PIECES + PIECES - aim);
	uint64_t piece = 0, left = PIECES - aim;
	for (unsigned int i = 0; i < memory.runs; i++) {
		uint64_t gaps = left < 999 - piece % 1000 ? left : 999 - piece % 1000;
		ck_assert_uint_eq(memory.run[i].gpa, LOW + piece * 2 * PAGE + (piece / 1000 << 30));
		ck_assert_uint_eq(memory.run[i].len, (2 * gaps + 1) * PAGE);
		piece += gaps + 1;
		left -= gaps;
	}
	ck_assert_uint_eq(piece, PIECES);
}
END_TEST

/* Not of what is in few pieces, nor between two regions. */
START_TEST(no_other_gap_is_filled)
{
	struct snapshot_runs runs = {0};

	snapshot_runs_begin(&runs, &memory);
	snapshot_runs_add(&runs, LOW, &(struct gpa_range){LOW, PAGE});
	snapshot_runs_add(&runs, LOW, &(struct gpa_range){LOW + PAGE, PAGE});
	snapshot_runs_add(&runs, LOW, &(struct gpa_range){LOW + 3 * PAGE, PAGE});
	snapshot_runs_add(&runs, LOW + 4 * PAGE, &(struct gpa_range){LOW + 4 * PAGE, PAGE});
	ck_assert(snapshot_runs_fit(&runs));
	ck_assert_uint_eq(memory.runs, 3);
	ck_assert_uint_eq(memory.pages, 4);
	const struct gpa_range want[] = {
		{LOW, 2 * PAGE}, {LOW + 3 * PAGE, PAGE}, {LOW + 4 * PAGE, PAGE}};
	ck_assert_mem_eq(memory.run, want, sizeof(want));
}
END_TEST

Suite *snapshot_runs_suite(void);
Suite *snapshot_runs_suite(void)
{
	Suite *suite = suite_create("snapshot_runs");
	TCase *tcase = tcase_create("runs");

	tcase_add_test(tcase, short_gaps_are_filled_and_no_more_than_needed);
	tcase_add_test(tcase, no_other_gap_is_filled);
	suite_add_tcase(suite, tcase);
	return suite;
}
