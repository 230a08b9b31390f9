// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/memory.h"
#include "vmm/mem/discard.h"
#include "vmm/mem/usage.h"

#define MIB (1ULL << 20)
#define K   1024ULL

/* --- texts ----------------------------------------------------------------------------------- */

/* Two regions, of 2 MiB and 1 MiB, with guards around; nobody touches them. */
static const struct ram paper = {
	.region = {{0, 2 * MIB, (uint8_t *)0x7f0000200000},
		   {4 * MIB, MIB, (uint8_t *)0x7f0000600000}},
	.regions = 2,
	.page_size = 4096,
	.map = (void *)0x7f0000000000,
	.map_size = 9 * MIB,
};

#define BEFORE                                                                                     \
	"55d000000000-55d000010000 r-xp 00000000 08:01 1234   /usr/bin/ebb\n"                      \
	"Rss: 111 kB\nPss: 111 kB\nLocked: 111 kB\nVmFlags: rd ex mr mw me\n"                      \
	"7f0000000000-7f0000200000 ---p 00000000 00:00 0 \nRss: 7 kB\n"
#define FIRST  "7f0000200000-7f0000400000 rw-p 00000000 00:00 0 \n"
#define GUARD  "7f0000400000-7f0000600000 ---p 00000000 00:00 0 \nRss: 9 kB\n"
#define SECOND "7f0000600000-7f0000700000 rw-p 00000000 00:00 0 \n"
#define AFTER                                                                                      \
	"7f0000700000-7f0000900000 ---p 00000000 00:00 0 \nRss: 9 kB\n"                            \
	"7fff00000000-7fff00021000 rw-p 00000000 00:00 0 [stack]\nRss: 50 kB\nSwap: 3 kB\n"
static const struct {
	const char *name, *text;
	int error;
	struct ram_usage usage;
} texts[] = {
	{"all figures",
	 BEFORE FIRST "Size:               2048 kB\n"
		      "KernelPageSize:        4 kB\n"
		      "Rss:                 100 kB\n"
		      "Pss:                  50 kB\n"
		      "Pss_Dirty:             1 kB\n"
		      "Anonymous:            40 kB\n"
		      "LazyFree:             12 kB\n"
		      "AnonHugePages:        30 kB\n"
		      "ShmemPmdMapped:        5 kB\n"
		      "FilePmdMapped:         1 kB\n"
		      "Shared_Hugetlb:        0 kB\n"
		      "Private_Hugetlb:       0 kB\n"
		      "Swap:                  8 kB\n"
		      "SwapPss:               1 kB\n"
		      "Locked:               20 kB\n"
		      "THPeligible:           1\n"
		      "VmFlags: rd wr mr mw me nr dd hg\n" GUARD SECOND
		      "Rss:  1 kB\nPss: 2 kB\nAnonymous: 2 kB\n" AFTER,
	 0,
	 {101 * K, 52 * K, 35 * K, 12 * K, 8 * K, 20 * K, 42 * K, {{0}}}},
	{"huge pages of hugetlbfs",
	 FIRST "Rss: 0 kB\nPrivate_Hugetlb: 2048 kB\n" SECOND
	       "Rss: 0 kB\nShared_Hugetlb: 1024 kB\n",
	 0,
	 {3 * MIB, 3 * MIB, 3 * MIB, 0, 0, 0, 0, {{0}}}},
	{"a region in pieces",
	 "7f0000200000-7f0000300000 rw-p 0 00:00 0\nRss: 1 kB\n"
	 "7f0000300000-7f0000400000 rw-p 0 00:00 0\nRss: 2 kB\n" SECOND "Rss: 4 kB\n",
	 0,
	 {7 * K, 0, 0, 0, 0, 0, 0, {{0}}}},
	{"no figures at all", FIRST SECOND, 0, {0}},
	{"the last line without an end",
	 FIRST SECOND "Rss: 5 kB",
	 0,
	 {5 * K, 0, 0, 0, 0, 0, 0, {{0}}}},
	{"what is behind is not read",
	 FIRST SECOND AFTER "7f0000200000-7f0000400000 rw-p 0 00:00 0\nRss: 5 kB\n",
	 0,
	 {0}},
	{"lines of any kind",
	 FIRST "Rss\nRss:\nRss: kB\nRss: 5\nRss: 5 MB\nRss: many kB\nRssAnon: 5 kB\n Rss: 5 kB\n"
	       ": 5 kB\n\nSwap:5 kB\n" SECOND,
	 0,
	 {0, 0, 0, 0, 5 * K, 0, 0, {{0}}}},
	{"nothing", "", -ENODATA, {0}},
	{"others only", BEFORE AFTER, -ENODATA, {0}},
	{"a region is missing", FIRST "Rss: 5 kB\n" AFTER, -ENODATA, {0}},
	{"a piece is missing",
	 "7f0000200000-7f0000300000 rw-p 0 00:00 0\nRss: 1 kB\n" SECOND,
	 -ENODATA,
	 {0}},
	{"the first two pieces became one while they were read",
	 "7f0000200000-7f0000300000 rw-p 0 00:00 0\nRss: 1 kB\n" FIRST "Rss: 2 kB\n" SECOND,
	 -ENODATA,
	 {0}},
	{"likewise, and as long as all of RAM",
	 "7f0000200000-7f0000300000 rw-p 0 00:00 0\nRss: 1 kB\n" FIRST "Rss: 2 kB\n" AFTER,
	 -ENODATA,
	 {0}},
	{"larger than the region",
	 "7f0000200000-7f0000401000 rw-p 0 00:00 0\nRss: 1 kB\n" SECOND,
	 -ENODATA,
	 {0}},
	{"backwards",
	 "7f0000400000-7f0000200000 rw-p 0 00:00 0\nRss: 1 kB\n" SECOND,
	 -ENODATA,
	 {0}},
};

START_TEST(a_text)
{
	const char *text = texts[_i].text;
	struct ram_usage usage;
	/* With its terminator: fmemopen() knows no stream of no bytes. */
	FILE *smaps = fmemopen((void *)text, strlen(text) + 1, "r");

	ck_assert_ptr_nonnull(smaps);
	memset(&usage, 0xff, sizeof(usage));
	int error = usage_parse(smaps, &paper, &usage);
	fclose(smaps);
	ck_assert_msg(error == texts[_i].error, "%s: %d", texts[_i].name, error);
	ck_assert_msg(memcmp(&usage, &texts[_i].usage, sizeof(usage)) == 0,
		      "%s: rss %lu pss %lu huge %lu lazyfree %lu swap %lu locked %lu own %lu",
		      texts[_i].name, usage.rss, usage.pss, usage.huge, usage.lazyfree, usage.swap,
		      usage.locked, usage.own);
}
END_TEST

/* A window is counted by itself, whatever lies between, and need not be there as a whole. */
START_TEST(a_window_is_counted_apart)
{
	static char text[] = FIRST "Rss: 3 kB\n" SECOND AFTER
				   "7fff10000000-7fff10100000 rw-s 0 08:01 7 /a file\nRss: 8 kB\n"
				   "Pss: 2 kB\nAnonymous: 1 kB\nLocked: 3 kB\n"
				   "7fff10100000-7fff10200000 rw-p 0 00:00 0\nRss: 4 kB\n"
				   "Anonymous: 4 kB\n"
				   "7fff10200000-7fff10300000 rw-p 0 00:00 0\nRss: 5 kB\n";
	struct ram ram = paper;
	struct ram_usage usage;
	FILE *smaps = fmemopen(text, sizeof(text), "r");

	ram.window[0] = (struct ram_region){8 * MIB, 2 * MIB, (uint8_t *)0x7fff10000000};
	ram.window[1] = (struct ram_region){16 * MIB, 2 * MIB, (uint8_t *)0x7fff20000000};
	ram.windows = 2;
	ck_assert_int_eq(usage_parse(smaps, &ram, &usage), 0);
	fclose(smaps);
	ck_assert_uint_eq(usage.rss, 3 * K);
	ck_assert_uint_eq(usage.locked, 0);
	ck_assert_uint_eq(usage.window[0].rss, 12 * K);
	ck_assert_uint_eq(usage.window[0].pss, 2 * K);
	ck_assert_uint_eq(usage.window[0].copied, 5 * K);
	ck_assert_uint_eq(usage.window[1].rss, 0);
}
END_TEST

/* However long a name is, and whatever it says at whichever place. */
START_TEST(a_name)
{
	for (int length = 0; length < 1000; length++) {
		char text[2048];
		int n = snprintf(text, sizeof(text),
				 "7f0000200000-7f0000400000 rw-s 0 00:01 1 /%0*dRss: 99 kB\n"
				 "Rss: 2 kB\n" SECOND,
				 length, 0);
		struct ram_usage usage;
		FILE *smaps = fmemopen(text, n, "r");
		ck_assert_ptr_nonnull(smaps);
		ck_assert_int_eq(usage_parse(smaps, &paper, &usage), 0);
		fclose(smaps);
		ck_assert_msg(usage.rss == 2 * K, "%d: %lu", length, usage.rss);
	}
}
END_TEST

/* --- this process ---------------------------------------------------------------------------- */

static struct ram ram;

static void teardown(void)
{
	ram_release(&ram);
}

static struct ram_usage usage_now(void)
{
	struct ram_usage usage;
	ck_assert_int_eq(ram_usage(&ram, &usage), 0);
	return usage;
}

static const struct gpa_range span[] = {{0, 8 * MIB}, {16 * MIB, 2 * MIB}};

static const enum ram_backing backings[] = {RAM_ANON, RAM_MEMFD, RAM_HUGETLBFS};

START_TEST(it_follows_what_is_taken_and_given_back)
{
	const struct ram_config config = {.backing = backings[_i], .numa_node = -1};
	const struct gpa_range range = {2 * MIB, 2 * MIB};
	struct discard_step step[DISCARD_STEPS(1)];
	struct discard_result result;

	if (config.backing == RAM_HUGETLBFS && !memory_hugepages(__func__, 5))
		return;
	ck_assert_int_eq(ram_init(&ram, &config, span, 2), 0);
	ck_assert_uint_eq(usage_now().rss, 0);
	memset(ram.region[0].hva, 1, 4 * MIB);
	memset(ram.region[1].hva, 1, 2 * MIB);
	ck_assert_uint_eq(usage_now().rss, 6 * MIB);
	ck_assert_uint_eq(usage_now().pss, 6 * MIB);
	ck_assert_uint_le(usage_now().huge, 6 * MIB);
	ck_assert_uint_eq(usage_now().own, config.backing == RAM_ANON ? 6 * MIB : 0);
	if (config.backing == RAM_HUGETLBFS)
		ck_assert_uint_eq(usage_now().huge, 6 * MIB);
	ram_discard(&ram, &range, 1, step, &result);
	ck_assert_uint_eq(usage_now().rss, 4 * MIB);
	ck_assert_uint_eq(usage_now().locked, 0);
}
END_TEST

START_TEST(prealloc_and_lock_show)
{
	const struct ram_config config = {.prealloc = true, .lock = true, .numa_node = -1};

	ck_assert_int_eq(ram_init(&ram, &config, span, 2), 0);
	ck_assert_uint_eq(usage_now().rss, 10 * MIB);
	ck_assert_uint_eq(usage_now().locked, 10 * MIB);
}
END_TEST

START_TEST(released_ram_has_no_usage)
{
	struct ram_usage usage;
	const struct ram_config config = RAM_CONFIG_DEFAULT;

	ck_assert_int_eq(ram_init(&ram, &config, span, 2), 0);
	struct ram gone = ram;
	ram_release(&ram);
	gone.smaps = usage_open();
	ck_assert_int_eq(ram_usage(&gone, &usage), -ENODATA);
	close(gone.smaps);
}
END_TEST

Suite *usage_suite(void);
Suite *usage_suite(void)
{
	Suite *suite = suite_create("usage");
	TCase *tcase = tcase_create("texts");
	tcase_add_loop_test(tcase, a_text, 0, sizeof(texts) / sizeof(texts[0]));
	tcase_add_test(tcase, a_window_is_counted_apart);
	tcase_add_test(tcase, a_name);
	suite_add_tcase(suite, tcase);

	tcase = tcase_create("here");
	tcase_add_checked_fixture(tcase, NULL, teardown);
	tcase_add_loop_test(tcase, it_follows_what_is_taken_and_given_back, 0, 3);
	tcase_add_test(tcase, prealloc_and_lock_show);
	tcase_add_test(tcase, released_ram_has_no_usage);
	suite_add_tcase(suite, tcase);
	return suite;
}
