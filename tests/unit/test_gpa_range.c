// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <stdint.h>
#include <string.h>

#include "vmm/mem/gpa_range.h"

#define TOP UINT64_MAX

static const struct {
	const char *name;
	size_t n, merged;
	struct gpa_range in[4];
	struct gpa_range out[4];
} merges[] = {
	{"nothing", 0, 0, {{0}}, {{0}}},
	{"one", 1, 1, {{8, 4}}, {{8, 4}}},
	{"apart", 2, 2, {{8, 4}, {16, 4}}, {{8, 4}, {16, 4}}},
	{"sorted", 3, 3, {{32, 4}, {8, 4}, {16, 4}}, {{8, 4}, {16, 4}, {32, 4}}},
	{"one byte apart", 2, 2, {{8, 4}, {13, 4}}, {{8, 4}, {13, 4}}},
	{"adjacent", 2, 1, {{12, 4}, {8, 4}}, {{8, 8}}},
	{"adjacent, all", 4, 1, {{20, 4}, {12, 4}, {16, 4}, {8, 4}}, {{8, 16}}},
	{"overlapping", 2, 1, {{8, 6}, {12, 4}}, {{8, 8}}},
	{"the same twice", 2, 1, {{8, 4}, {8, 4}}, {{8, 4}}},
	{"one within another", 2, 1, {{8, 16}, {12, 4}}, {{8, 16}}},
	{"one within another, then adjacent", 3, 1, {{8, 16}, {12, 4}, {24, 1}}, {{8, 17}}},
	{"same start, longer second", 2, 1, {{8, 4}, {8, 16}}, {{8, 16}}},
	{"empty", 2, 1, {{8, 0}, {16, 4}}, {{16, 4}}},
	{"empty between neighbours", 3, 1, {{8, 4}, {12, 0}, {12, 4}}, {{8, 8}}},
	{"all empty", 2, 0, {{0, 0}, {TOP, 0}}, {{0}}},
	{"up to the top", 1, 1, {{TOP - 4, 4}}, {{TOP - 4, 4}}},
	{"wraps", 1, 1, {{TOP - 4, 9}}, {{TOP - 4, 4}}},
	{"wraps as far as can be", 2, 1, {{8, TOP}, {16, TOP}}, {{8, TOP - 8}}},
	{"wraps onto another", 2, 2, {{TOP - 4, 20}, {2, 4}}, {{2, 4}, {TOP - 4, 4}}},
	{"at the top, nothing is left", 1, 0, {{TOP, 4}}, {{0}}},
};

START_TEST(merging)
{
	struct gpa_range range[4];
	memcpy(range, merges[_i].in, sizeof(range));
	ck_assert_msg(gpa_range_merge(range, merges[_i].n) == merges[_i].merged, "%s: number",
		      merges[_i].name);
	for (size_t i = 0; i < merges[_i].merged; i++)
		ck_assert_msg(range[i].gpa == merges[_i].out[i].gpa &&
				      range[i].len == merges[_i].out[i].len,
			      "%s: range %zu", merges[_i].name, i);
}
END_TEST

Suite *gpa_range_suite(void);
Suite *gpa_range_suite(void)
{
	Suite *suite = suite_create("range");
	TCase *tcase = tcase_create("merge");
	tcase_add_loop_test(tcase, merging, 0, sizeof(merges) / sizeof(merges[0]));
	suite_add_tcase(suite, tcase);
	return suite;
}
