// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "devices/virtio-balloon/pfn.h"

#define PAGE 0x1000ULL
#define ALL  0xffffffff

/* RAM that is only asked where it lies: pages 16 to 31, 40 and a half, and the two below 2^32. */
static uint8_t nothing;
static const struct ram ram = {
	.region = {{16 * PAGE, 16 * PAGE, &nothing},
		   {40 * PAGE, PAGE + PAGE / 2, &nothing},
		   {0xfffffffeULL * PAGE, 2 * PAGE, &nothing}},
	.regions = 3,
	.page_size = PAGE,
};

static const struct {
	const char *name;
	size_t n;
	uint32_t in[6];
	size_t outside, left;
	uint32_t out[6];
	size_t ranges;
	struct gpa_range range[6]; /* in pages */
} cases[] = {
	{"none", 0, {0}, 0, 0, {0}, 0, {{0}}},
	{"one", 1, {20}, 0, 1, {20}, 1, {{20, 1}}},
	{"the first and the last", 2, {31, 16}, 0, 2, {16, 31}, 2, {{16, 1}, {31, 1}}},
	{"neighbours", 3, {22, 20, 21}, 0, 3, {20, 21, 22}, 1, {{20, 3}}},
	{"neighbours but one", 2, {20, 22}, 0, 2, {20, 22}, 2, {{20, 1}, {22, 1}}},
	{"two runs", 4, {25, 20, 24, 21}, 0, 4, {20, 21, 24, 25}, 2, {{20, 2}, {24, 2}}},
	{"the same again", 4, {20, 20, 20, 20}, 0, 1, {20}, 1, {{20, 1}}},
	{"a run twice", 4, {21, 20, 20, 21}, 0, 2, {20, 21}, 1, {{20, 2}}},
	{"below, above, zero", 4, {15, 16, 32, 0}, 3, 1, {16}, 1, {{16, 1}}},
	{"half a page", 2, {40, 41}, 1, 1, {40}, 1, {{40, 1}}},
	{"the same outside twice", 3, {99, 16, 99}, 1, 1, {16}, 1, {{16, 1}}},
	{"all outside", 2, {99, 98}, 2, 0, {0}, 0, {{0}}},
	{"the top", 3, {ALL, 16, ALL - 1}, 0, 3, {16, ALL - 1, ALL}, 2, {{16, 1}, {ALL - 1ULL, 2}}},
	{"the top is not before the bottom", 2, {ALL, 0}, 1, 1, {ALL}, 1, {{ALL, 1}}},
	{"a sign means nothing", 2, {0x80000010, 16}, 1, 1, {16}, 1, {{16, 1}}},
};

START_TEST(sorted_and_merged)
{
	const char *name = cases[_i].name;
	struct gpa_range range[6];
	uint32_t pfn[6];
	size_t outside = 77;

	memcpy(pfn, cases[_i].in, sizeof(pfn));
	size_t left = pfn_sort(&ram, pfn, cases[_i].n, &outside);
	ck_assert_msg(left == cases[_i].left, "%s: %zu left", name, left);
	ck_assert_msg(outside == cases[_i].outside, "%s: %zu outside", name, outside);
	ck_assert_msg(memcmp(pfn, cases[_i].out, left * sizeof(pfn[0])) == 0, "%s: order", name);
	size_t ranges = pfn_ranges(pfn, left, range);
	ck_assert_msg(ranges == cases[_i].ranges, "%s: %zu ranges", name, ranges);
	for (size_t i = 0; i < ranges; i++)
		ck_assert_msg(range[i].gpa == cases[_i].range[i].gpa * PAGE &&
				      range[i].len == cases[_i].range[i].len * PAGE,
			      "%s: range %zu", name, i);
}
END_TEST

/* Against the plain way of doing it: a table of all pages. */
START_TEST(any_numbers)
{
	enum { N = 512, SPAN = 700 };
	static const struct ram large = {
		.region = {{100 * PAGE, 500 * PAGE, &nothing}}, .regions = 1, .page_size = PAGE};
	unsigned int seed = 5 + _i;
	uint32_t pfn[N];
	struct gpa_range range[N];
	unsigned char there[SPAN] = {0};
	size_t outside, expected = 0, runs = 0, strangers = 0;

	for (size_t i = 0; i < N; i++) {
		pfn[i] = rand_r(&seed) % SPAN;
		there[pfn[i]] = 1;
	}
	for (size_t i = 0; i < SPAN; i++) {
		bool inside = i >= 100 && i < 600;
		strangers += there[i] && !inside;
		expected += there[i] && inside;
		runs += there[i] && inside && (i == 100 || !there[i - 1]);
	}
	size_t n = pfn_sort(&large, pfn, N, &outside);
	ck_assert_uint_eq(n, expected);
	ck_assert_uint_eq(outside, strangers);
	ck_assert_uint_eq(pfn_ranges(pfn, n, range), runs);
	for (size_t i = 0; i < runs; i++)
		for (uint64_t page = range[i].gpa / PAGE;
		     page < (range[i].gpa + range[i].len) / PAGE; page++)
			ck_assert_uint_eq(there[page]++, 1); /* each once */
}
END_TEST

Suite *pfn_suite(void);
Suite *pfn_suite(void)
{
	Suite *suite = suite_create("page numbers");
	TCase *tcase = tcase_create("pfn");
	tcase_add_loop_test(tcase, sorted_and_merged, 0, sizeof(cases) / sizeof(cases[0]));
	tcase_add_loop_test(tcase, any_numbers, 0, 8);
	suite_add_tcase(suite, tcase);
	return suite;
}
