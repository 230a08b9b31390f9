// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/unit/memory.h"
#include "vmm/mem/discard.h"
#include "vmm/mem/ram.h"

#define P   4096ULL
#define MIB (1ULL << 20)
#define TOP UINT64_MAX

/* Two regions with a hole; the second does not start on a huge page's boundary. */
#define A     MIB
#define A_END (A + 4 * MIB)
#define B     (16 * MIB + 3 * P)
#define B_END (B + 8 * P)

static const struct ram_config usual = RAM_CONFIG_DEFAULT;
static struct ram ram;

static void ram_setup(void)
{
	const struct gpa_range span[] = {{A, A_END - A}, {B, B_END - B}};
	ck_assert_int_eq(ram_init(&ram, &usual, span, 2), 0);
}

static void ram_teardown(void)
{
	ram_release(&ram);
}

static const struct {
	const char *name;
	uint64_t gpa, len;
	int region; /* that it is in, or -1 */
} accesses[] = {
	{"first byte", A, 1, 0},
	{"last byte", A_END - 1, 1, 0},
	{"a whole region", A, A_END - A, 0},
	{"first of the second", B, 1, 1},
	{"the whole second", B, B_END - B, 1},
	{"nothing", A, 0, -1},
	{"nothing, outside", 0, 0, -1},
	{"one too long", A, A_END - A + 1, -1},
	{"before", A - 1, 1, -1},
	{"from before", A - 1, 2, -1},
	{"at the end", A_END, 1, -1},
	{"past the end", A_END - 1, 2, -1},
	{"across the hole", A_END - 1, B - A_END + 2, -1},
	{"in the hole", A_END + P, P, -1},
	{"behind all", B_END, 1, -1},
	{"as long as can be", A, TOP, -1},
	{"wraps to where it starts", A, TOP - 1, -1},
	{"wraps into RAM", TOP, A + 2, -1},
	{"the top", TOP, 1, -1},
	{"gpa 0", 0, 1, -1},
};

START_TEST(access_is_checked)
{
	void *at = ram_at(&ram, accesses[_i].gpa, accesses[_i].len);
	if (accesses[_i].region < 0) {
		ck_assert_msg(!at, "%s", accesses[_i].name);
	} else {
		const struct ram_region *region = &ram.region[accesses[_i].region];
		ck_assert_ptr_eq(at, region->hva + (accesses[_i].gpa - region->gpa));
	}
}
END_TEST

START_TEST(private_memory_is_not_shared)
{
	struct ram_share share[RAM_REGIONS_MAX];
	ck_assert_int_eq(ram_shares(&ram, share), -EOPNOTSUPP);
}
END_TEST

START_TEST(copies_are_whole_or_not_at_all)
{
	char data[8] = "ebbtide";
	char back[8] = "-------";

	ck_assert_int_eq(ram_write(&ram, A_END - 8, data, 8), 0);
	ck_assert_int_eq(ram_write(&ram, A_END - 7, "XXXXXXXX", 8), -EFAULT);
	ck_assert_int_eq(ram_read(&ram, A_END - 7, back, 8), -EFAULT);
	ck_assert_str_eq(back, "-------");
	ck_assert_int_eq(ram_read(&ram, A_END - 8, back, 8), 0);
	ck_assert_str_eq(back, "ebbtide");
	ck_assert_int_eq(ram_read(&ram, A, back, 0), -EFAULT);
}
END_TEST

START_TEST(it_lies_as_huge_pages_need_it)
{
	ck_assert_uint_eq(ram_size(&ram), (A_END - A) + (B_END - B));
	ck_assert_uint_eq(ram.page_size, sysconf(_SC_PAGESIZE));
	for (unsigned int i = 0; i < ram.regions; i++)
		ck_assert_uint_eq((uintptr_t)ram.region[i].hva % (2 * MIB),
				  ram.region[i].gpa % (2 * MIB));
}
END_TEST

/* The kernel says without a crash whether it can read a byte. */
static bool readable(const void *at)
{
	int end[2];
	ck_assert_int_eq(pipe(end), 0);
	bool ok = write(end[1], at, 1) == 1;
	ck_assert(ok || errno == EFAULT);
	close(end[0]);
	close(end[1]);
	return ok;
}

START_TEST(it_is_guarded)
{
	for (unsigned int i = 0; i < ram.regions; i++) {
		const uint8_t *start = ram.region[i].hva;
		const uint8_t *end = start + ram.region[i].size;
		ck_assert(readable(start) && readable(end - 1));
		ck_assert(!readable(start - 1) && !readable(start - 2 * MIB));
		ck_assert(!readable(end) && !readable(end + 2 * MIB - 1));
	}
}
END_TEST

START_TEST(it_costs_nothing_until_touched_and_is_not_dumped)
{
	const uint8_t *at = ram.region[0].hva;
	size_t size = ram.region[0].size;

	ck_assert_uint_eq(memory_smaps(at, size, "Rss"), 0);
	ck_assert(memory_flag(at, size, "nr"));
	/* A child process must not hold pages that the guest gives back. */
	ck_assert(memory_flag(at, size, "dc"));
	ck_assert(memory_flag(at, size, "dd"));
	if (access("/sys/kernel/mm/transparent_hugepage", F_OK) == 0)
		ck_assert(memory_flag(at, size, "hg"));
}
END_TEST

/* --- what is refused, and what is said ------------------------------------------------------- */

static const struct {
	unsigned int n;
	struct gpa_range span[RAM_REGIONS_MAX + 1];
} refused[] = {
	{0, {{0, P}}},						       /* none */
	{5, {{0, P}, {2 * P, P}, {4 * P, P}, {6 * P, P}, {8 * P, P}}}, /* too many */
	{1, {{0, 0}}},						       /* empty */
	{1, {{0, P + 1}}},					       /* not whole pages */
	{1, {{1, P}}},						       /* not on a page */
	{2, {{0, P}, {P, P}}},					       /* adjacent */
	{2, {{0, 2 * P}, {P, P}}},				       /* overlapping */
	{2, {{2 * P, P}, {0, P}}},				       /* not ascending */
	{1, {{TOP - P + 1, 2 * P}}},				       /* wraps */
	{1, {{1ULL << 56, P}}}, /* no such address anywhere */
	{1, {{P, 1ULL << 56}}},
};

START_TEST(bad_spans)
{
	const char *said = memory_init_says(&usual, refused[_i].span, refused[_i].n, -EINVAL);
	ck_assert_str_eq(said, "ebb: guest RAM must be 1 to 4 ranges of whole pages, ascending and "
			       "apart\n");
}
END_TEST

START_TEST(more_than_the_address_space)
{
	const struct gpa_range span = {0, 1ULL << 55};
	const char *said = memory_init_says(&usual, &span, 1, -ENOMEM);
	ck_assert_msg(strstr(said, "address space is too small") != NULL, "%s", said);
}
END_TEST

static void limit(int resource, rlim_t bytes)
{
	struct rlimit limit;
	ck_assert_int_eq(getrlimit(resource, &limit), 0);
	limit.rlim_cur = bytes;
	ck_assert_int_eq(setrlimit(resource, &limit), 0);
}

START_TEST(limits_are_named)
{
	const struct gpa_range span = {0, 64 * MIB};

	limit(RLIMIT_AS, 32 * MIB);
	const char *said = memory_init_says(&usual, &span, 1, -ENOMEM);
	limit(RLIMIT_AS, RLIM_INFINITY);
	ck_assert_msg(strstr(said, "64 MiB") && strstr(said, "RLIMIT_AS"), "%s", said);

	/* Less than we have already: RAM takes the place of a mapping, which counts as nothing new. */
#if defined(__SANITIZE_ADDRESS__) && __GNUC__ >= 13
	return; /* for each mapping this ASan makes one, too; tests without it (other architectures') go on */
#endif
	limit(RLIMIT_DATA, 4096);
	said = memory_init_says(&usual, &span, 1, -ENOMEM);
	limit(RLIMIT_DATA, RLIM_INFINITY);
	ck_assert_msg(strstr(said, "64 MiB") && strstr(said, "RLIMIT_DATA"), "%s", said);
}
END_TEST

/* Memory that is not RAM, such as a file's. */
#define W     (64 * MIB)
#define W_END (W + 2 * MIB)

START_TEST(a_window_is_for_buffers_alone)
{
	static uint8_t memory[2 * MIB];
	struct discard_step step[DISCARD_STEPS(1)];
	const struct gpa_range range = {W, 2 * MIB};
	unsigned int outside = 0;
	uint8_t byte = 7;

	ck_assert_ptr_null(ram_buffer_at(&ram, W, 1));
	ck_assert_int_eq(ram_add_window(&ram, W, 2 * MIB, memory), 0);
	ck_assert_ptr_eq(ram_buffer_at(&ram, W, 2 * MIB), memory);
	ck_assert_ptr_eq(ram_buffer_at(&ram, W_END - 1, 1), memory + 2 * MIB - 1);
	ck_assert_ptr_null(ram_buffer_at(&ram, W_END - 1, 2));
	ck_assert_ptr_null(ram_buffer_at(&ram, W, 0));
	ck_assert_ptr_null(ram_buffer_at(&ram, W - 1, 2));
	ck_assert_ptr_null(ram_buffer_at(&ram, W, TOP));
	ck_assert_ptr_eq(ram_buffer_at(&ram, A, 1), ram.region[0].hva);
	ck_assert_int_eq(ram_write(&ram, W + 3, &byte, 1), 0);
	ck_assert_uint_eq(memory[3], 7);

	/* RAM it is not: no rings, nothing to count, nothing to discard. */
	ck_assert_ptr_null(ram_at(&ram, W, 1));
	ck_assert_uint_eq(ram_size(&ram), A_END - A + B_END - B);
	ck_assert_uint_eq(discard_plan(&ram, &range, 1, step, &outside), 0);
	ck_assert_uint_eq(outside, 1);
}
END_TEST

START_TEST(a_window_overlaps_nothing)
{
	static uint8_t memory[P];
	static const struct gpa_range bad[] = {{A, P},		 {A - P, 2 * P}, {B_END - P, P},
					       {0, W},		 {W, 0},	 {W - P, 2 * P},
					       {TOP - P, 2 * P}, {1ULL << 56, P}};

	ck_assert_int_eq(ram_add_window(&ram, W, P, memory), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_int_eq(ram_add_window(&ram, bad[i].gpa, bad[i].len, memory), -EINVAL);
	ck_assert_int_eq(ram_add_window(&ram, W + P, P, memory), 0);
	ck_assert_int_eq(ram_add_window(&ram, W + 2 * P, P, memory), -ENOSPC);
	ck_assert_int_eq(RAM_WINDOWS_MAX, 2);
}
END_TEST

Suite *ram_suite(void);
Suite *ram_suite(void)
{
	Suite *suite = suite_create("ram");
	TCase *tcase = tcase_create("mapped");
	tcase_add_checked_fixture(tcase, ram_setup, ram_teardown);
	tcase_add_loop_test(tcase, access_is_checked, 0, sizeof(accesses) / sizeof(accesses[0]));
	tcase_add_test(tcase, private_memory_is_not_shared);
	tcase_add_test(tcase, copies_are_whole_or_not_at_all);
	tcase_add_test(tcase, it_lies_as_huge_pages_need_it);
	tcase_add_test(tcase, it_is_guarded);
	tcase_add_test(tcase, it_costs_nothing_until_touched_and_is_not_dumped);
	tcase_add_test(tcase, a_window_is_for_buffers_alone);
	tcase_add_test(tcase, a_window_overlaps_nothing);
	suite_add_tcase(suite, tcase);

	tcase = tcase_create("refused");
	tcase_add_loop_test(tcase, bad_spans, 0, sizeof(refused) / sizeof(refused[0]));
	tcase_add_test(tcase, more_than_the_address_space);
	tcase_add_test(tcase, limits_are_named);
	suite_add_tcase(suite, tcase);
	return suite;
}
