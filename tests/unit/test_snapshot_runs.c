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
	struct snapshot_runs runs = {0};
	uint64_t pages = 0;

	add_pieces(&runs);
	ck_assert(!snapshot_runs_fit(&runs));
	ck_assert_uint_eq(runs.pieces, PIECES);
	add_pieces(&runs);
	ck_assert(snapshot_runs_fit(&runs));
	ck_assert_uint_le(memory.runs, SNAPSHOT_RUNS_MAX);
	ck_assert_uint_gt(memory.runs, SNAPSHOT_RUNS_MAX / 2);
	/* A gap that is filled costs one page, and takes one run away. */
	ck_assert_uint_eq(memory.pages, PIECES + PIECES - memory.runs);
	for (unsigned int i = 0; i < memory.runs; i++) {
		pages += memory.run[i].len / PAGE;
		ck_assert_uint_lt(memory.run[i].len, 2000 * PAGE);
		if (i > 0)
			ck_assert_uint_gt(memory.run[i].gpa,
					  memory.run[i - 1].gpa + memory.run[i - 1].len);
	}
	ck_assert_uint_eq(memory.run[0].gpa, LOW);
	ck_assert_uint_eq(pages, memory.pages);
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
	ck_assert_uint_eq(memory.run[0].len, 2 * PAGE);
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
