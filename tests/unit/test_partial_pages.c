// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "devices/virtio-balloon/partial_pages.h"
#include "devices/virtio-balloon/pfn.h"

#define PART 0x1000ULL
#define BIG  0x4000ULL /* a backing of four parts to the page */

/* Where RAM lies is all that counts here: pages 0 to 3, and 8 to 9, of four parts each. */
static uint8_t nothing;
static struct ram ram;
static struct partial_pages parts;

static void setup(void)
{
	ram = (struct ram){
		.region = {{0, 4 * BIG, &nothing}, {8 * BIG, 2 * BIG, &nothing}},
		.regions = 2,
		.page_size = BIG,
	};
	ck_assert_int_eq(partial_pages_init(&parts, &ram), 0);
}

static void teardown(void)
{
	partial_pages_release(&parts);
}

static struct gpa_range range[64];

/* Inflates by parts from @first on. Returns the number of ranges. */
static size_t inflate(uint32_t first, uint32_t n)
{
	uint32_t pfn[64];
	for (uint32_t i = 0; i < n; i++)
		pfn[i] = first + i;
	return partial_pages_inflate(&parts, pfn, n, range);
}

static void deflate(uint32_t pfn)
{
	partial_pages_deflate(&parts, &pfn, 1);
}

static void is_range(size_t i, uint64_t first, uint64_t pages)
{
	ck_assert_uint_eq(range[i].gpa, first * BIG);
	ck_assert_uint_eq(range[i].len, pages * BIG);
}

START_TEST(only_whole_pages)
{
	ck_assert_uint_eq(inflate(0, 3), 0);
	ck_assert_uint_eq(inflate(3, 1), 1);
	is_range(0, 0, 1);
	/* The rest of one, all of the next, the beginning of a third. */
	ck_assert_uint_eq(inflate(4, 1), 0);
	ck_assert_uint_eq(inflate(5, 8), 1);
	is_range(0, 1, 2);
	ck_assert_uint_eq(inflate(13, 3), 1);
	is_range(0, 3, 1);
	/* Of the second region, up to the last part. */
	ck_assert_uint_eq(inflate(32, 8), 1);
	is_range(0, 8, 2);
}
END_TEST

START_TEST(one_part_at_a_time)
{
	const uint32_t order[] = {7, 5, 4, 6};
	for (unsigned int i = 0; i < 4; i++)
		ck_assert_uint_eq(inflate(order[i], 1), i == 3);
	is_range(0, 1, 1);
}
END_TEST

START_TEST(never_twice)
{
	ck_assert_uint_eq(inflate(4, 4), 1);
	ck_assert_uint_eq(inflate(4, 4), 0);
	ck_assert_uint_eq(inflate(7, 1), 0);
	/* On both sides of one that was whole before: two ranges. */
	ck_assert_uint_eq(inflate(0, 12), 2);
	is_range(0, 0, 1);
	is_range(1, 2, 1);
}
END_TEST

START_TEST(a_part_that_comes_out)
{
	ck_assert_uint_eq(inflate(4, 3), 0);
	deflate(5);
	deflate(5); /* twice is once */
	ck_assert_uint_eq(inflate(7, 1), 0);
	ck_assert_uint_eq(inflate(5, 1), 1);
	is_range(0, 1, 1);
	/* And in again: the guest has used it meanwhile. */
	deflate(7);
	ck_assert_uint_eq(inflate(7, 1), 1);
	is_range(0, 1, 1);
	/* One that never was in changes nothing. */
	deflate(0);
	ck_assert_uint_eq(inflate(0, 3), 0);
	ck_assert_uint_eq(inflate(3, 1), 1);
}
END_TEST

START_TEST(forgotten_at_reset)
{
	ck_assert_uint_eq(inflate(4, 4), 1);
	ck_assert_uint_eq(inflate(0, 3), 0);
	partial_pages_reset(&parts);
	ck_assert_uint_eq(inflate(3, 1), 0);
	ck_assert_uint_eq(inflate(4, 4), 1);
	is_range(0, 1, 1);
}
END_TEST

START_TEST(small_pages_are_not_remembered)
{
	partial_pages_release(&parts);
	ram.page_size = PART;
	ck_assert_int_eq(partial_pages_init(&parts, &ram), 0);
	ck_assert_ptr_null(parts.bit);
	for (unsigned int i = 0; i < 2; i++) {
		ck_assert_uint_eq(inflate(5, 2), 1);
		ck_assert_uint_eq(range[0].gpa, 5 * PART);
		ck_assert_uint_eq(range[0].len, 2 * PART);
	}
	deflate(5);
	partial_pages_reset(&parts);
}
END_TEST

/* Against the plain way: a table, looked through after each step. */
START_TEST(any_order)
{
	unsigned char in[40] = {0};
	unsigned int seed = 3 + _i;

	for (unsigned int step = 0; step < 3000; step++) {
		uint32_t pfn[8];
		bool before[10], expected[10] = {false};
		size_t n, outside;

		for (unsigned int i = 0; i < 10; i++)
			before[i] = memcmp(in + 4 * i, "\1\1\1\1", 4) == 0;
		for (n = 0; n < 8; n++)
			pfn[n] = rand_r(&seed) % 40;
		n = pfn_sort(&ram, pfn, n, &outside);
		bool inflating = rand_r(&seed) % 3;
		for (size_t i = 0; i < n; i++)
			in[pfn[i]] = inflating;
		if (!inflating) {
			partial_pages_deflate(&parts, pfn, n);
			continue;
		}
		size_t ranges = partial_pages_inflate(&parts, pfn, n, range);
		ck_assert_uint_le(ranges, n);
		for (size_t i = 0; i < ranges; i++)
			for (uint64_t page = 0; page < range[i].len / BIG; page++)
				expected[range[i].gpa / BIG + page] = true;
		for (unsigned int i = 0; i < 10; i++)
			ck_assert_int_eq(expected[i],
					 !before[i] && memcmp(in + 4 * i, "\1\1\1\1", 4) == 0);
	}
}
END_TEST

Suite *partial_pages_suite(void);
Suite *partial_pages_suite(void)
{
	Suite *suite = suite_create("parts of pages");
	TCase *tcase = tcase_create("parts");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, only_whole_pages);
	tcase_add_test(tcase, one_part_at_a_time);
	tcase_add_test(tcase, never_twice);
	tcase_add_test(tcase, a_part_that_comes_out);
	tcase_add_test(tcase, forgotten_at_reset);
	tcase_add_test(tcase, small_pages_are_not_remembered);
	tcase_add_loop_test(tcase, any_order, 0, 4);
	suite_add_tcase(suite, tcase);
	return suite;
}
