// SPDX-License-Identifier: Apache-2.0
/* Guest RAM that is a private mapping of a file: what is discarded reads as zero, and is the host's again. */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/memory.h"
#include "vmm/lib/fatal.h"
#include "vmm/mem/discard.h"
#include "vmm/mem/present.h"
#include "vmm/mem/private_file.h"
#include "vmm/mem/usage.h"

#define P    4096ULL
#define MIB  (1ULL << 20)
#define LOW  (8 * MIB) /* both regions */
#define HIGH (64 * MIB)
#define SIZE (4 * MIB)

static struct ram ram;
static FILE *file;

/* The file has 0x5a from its second page on: 2 MiB of the first region from 2 MiB on, all of the second. */
static const struct gpa_range runs[] = {{LOW + 2 * MIB, 2 * MIB}, {HIGH, SIZE}};

static void setup(void)
{
	const struct ram_config config = RAM_CONFIG_DEFAULT;
	const struct gpa_range span[] = {{LOW, SIZE}, {HIGH, SIZE}};
	uint8_t *bytes = malloc(SIZE + 2 * MIB);

	memset(bytes, 0x5a, SIZE + 2 * MIB);
	file = tmpfile();
	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(pwrite(fileno(file), bytes, SIZE + 2 * MIB, P), SIZE + 2 * MIB);
	free(bytes);
	ck_assert_int_eq(ram_init(&ram, &config, span, 2), 0);
	ck_assert_int_eq(ram_map_file(&ram, runs, 2, fileno(file), P), 0);
}

static void teardown(void)
{
	ram_release(&ram);
	fclose(file);
}

static uint8_t *at(uint64_t gpa)
{
	return ram_at(&ram, gpa, P);
}

static struct discard_result discard(uint64_t gpa, uint64_t len)
{
	const struct gpa_range range = {gpa, len};
	struct discard_step step[DISCARD_STEPS(1)];
	struct discard_result result;

	ck_assert_uint_eq(ram_discard(&ram, &range, 1, step, &result), 1);
	ck_assert(step[0].done && step[0].zero);
	ck_assert_int_eq(result.error, 0);
	return result;
}

/* What this process alone has of a region. */
static uint64_t held(unsigned int region)
{
	return memory_smaps(ram.region[region].hva, SIZE, "Anonymous");
}

static unsigned int mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long from, to, start = (uintptr_t)ram.map;
	unsigned int found = 0;
	char line[512];

	while (fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx", &from, &to) == 2 && from >= start &&
		    to <= start + ram.map_size && !strstr(line, "---p"))
			found++;
	fclose(maps);
	return found;
}

START_TEST(the_file_is_read_and_not_written)
{
	uint8_t byte;

	ck_assert(memory_is(at(LOW), 2 * MIB, 0));
	ck_assert(memory_is(at(LOW + 2 * MIB), 2 * MIB, 0x5a));
	ck_assert(memory_is(at(HIGH), SIZE, 0x5a));
	ck_assert_uint_eq(held(1), 0);
	memset(at(HIGH), 0x77, 3 * P);
	ck_assert_uint_eq(held(1), 3 * P);
	ck_assert_int_eq(pread(fileno(file), &byte, 1, (off_t)(P + 2 * MIB)), 1);
	ck_assert_int_eq(byte, 0x5a);
}
END_TEST

/* The control: what madvise() alone does with such memory. */
START_TEST(the_naive_way_brings_the_file_back)
{
	memset(at(HIGH), 0x77, P);
	ck_assert_int_eq(madvise(at(HIGH), P, MADV_DONTNEED), 0);
	ck_assert(memory_is(at(HIGH), P, 0x5a));
}
END_TEST

START_TEST(what_is_discarded_is_zero_and_gone)
{
	memset(at(HIGH), 0x77, SIZE);
	ck_assert_uint_eq(held(1), SIZE);
	struct discard_result result = discard(HIGH + MIB, 2 * MIB);
	ck_assert_uint_eq(result.bytes, 2 * MIB);
	ck_assert_uint_eq(result.zeroed, 0);
	ck_assert_uint_eq(held(1), SIZE - 2 * MIB);
	ck_assert(memory_is(at(HIGH + MIB), 2 * MIB, 0));
	ck_assert(memory_is(at(HIGH), MIB, 0x77));
	ck_assert(memory_is(at(HIGH + 3 * MIB), MIB, 0x77));
	/* Again, and also what was never touched. */
	memset(at(HIGH + MIB), 0x78, 2 * MIB);
	discard(HIGH + MIB, 2 * MIB);
	ck_assert(memory_is(at(HIGH + MIB), 2 * MIB, 0));
	discard(LOW + 2 * MIB, P);
	ck_assert(memory_is(at(LOW + 2 * MIB), P, 0));
	ck_assert(memory_is(at(LOW + 2 * MIB + P), P, 0x5a));
	/* Partly of the file, partly not. */
	memset(at(LOW), 0x79, 2 * MIB);
	discard(LOW + MIB, 2 * MIB);
	ck_assert(memory_is(at(LOW), MIB, 0x79));
	ck_assert(memory_is(at(LOW + MIB), 2 * MIB, 0));
	ck_assert(memory_is(at(LOW + 3 * MIB), MIB, 0x5a));
}
END_TEST

/* As all of RAM: in no core dump, in no child. */
START_TEST(it_stays_like_other_memory)
{
	ck_assert(memory_flag(ram.region[1].hva, SIZE, "dd"));
	ck_assert(memory_flag(ram.region[1].hva, SIZE, "dc"));
	discard(HIGH, SIZE);
	ck_assert(memory_flag(ram.region[1].hva, SIZE, "dd"));
	ck_assert(memory_flag(ram.region[1].hva, SIZE, "dc"));
}
END_TEST

/* Of many ranges together, some are the file's. */
START_TEST(many_together)
{
	enum { MANY = 300 };
	static struct discard_step step[DISCARD_STEPS(MANY)];
	static struct gpa_range range[MANY];
	struct discard_result result;

	memset(at(LOW), 0x77, SIZE);
	for (unsigned int turn = 0; turn < 2; turn++) {
		for (unsigned int i = 0; i < MANY; i++)
			range[i] = (struct gpa_range){LOW + (400 + i) * P, P};
		ck_assert_uint_eq(ram_discard(&ram, range, MANY, step, &result), MANY);
		ck_assert_uint_eq(result.bytes, MANY * P);
		ck_assert_uint_eq(result.failures, 0);
		ck_assert(memory_is(at(LOW + 400 * P), MANY * P, 0));
		ck_assert(memory_is(at(LOW + 399 * P), P, 0x77));
		ck_assert(memory_is(at(LOW + 700 * P), P, 0x77));
		memset(at(LOW + 400 * P), 0x55, MANY * P);
	}
}
END_TEST

/* The same memory again and again costs no further mapping, and neighbours become one. */
START_TEST(mappings_are_bounded)
{
	unsigned int before = mappings();

	for (unsigned int turn = 0; turn < 3; turn++)
		for (uint64_t page = 1; page < 200; page += 2)
			discard(HIGH + page * P, P);
	ck_assert_uint_gt(mappings(), before + 190);
	ck_assert_uint_le(mappings(), before + 200);
	for (uint64_t page = 0; page < 200; page += 2)
		discard(HIGH + page * P, P);
	ck_assert_uint_le(mappings(), before + 1);
	discard(HIGH, SIZE);
	ck_assert_uint_le(mappings(), before);
}
END_TEST

/* Whatever is discarded: there are never more mappings than allowed, and all that was discarded reads as zero. */
START_TEST(a_limit_is_kept)
{
	static bool gone[SIZE / P];
	uint64_t zeroed = 0, bytes = 0;

	srand(_i + 1);
	private_file_limit(ram.private_file, 40);
	for (unsigned int i = 0; i < 500; i++) {
		uint64_t page = (uint64_t)rand() % (SIZE / P);
		uint64_t pages = 1 + (uint64_t)rand() % 3;
		pages = pages < SIZE / P - page ? pages : SIZE / P - page;
		memset(at(HIGH + page * P), 0x33, pages * P);
		struct discard_result result = discard(HIGH + page * P, pages * P);
		ck_assert_uint_eq(result.bytes + result.zeroed, pages * P);
		zeroed += result.zeroed;
		bytes += result.bytes;
		for (uint64_t n = 0; n < pages; n++)
			gone[page + n] = true;
		ck_assert_uint_le(mappings(), 40);
	}
	for (uint64_t page = 0; page < SIZE / P; page++)
		ck_assert(memory_is(at(HIGH + page * P), P, gone[page] ? 0 : 0x5a));
	ck_assert_uint_gt(zeroed, 0);
	ck_assert_uint_eq(private_file_zeroed(ram.private_file), zeroed);
	ck_assert_uint_gt(bytes, 0);
	/* A large block makes mappings fewer, so it goes at any limit. */
	ck_assert_uint_eq(discard(HIGH, SIZE).zeroed, 0);
	ck_assert_uint_eq(held(1), 0);
	ck_assert(memory_is(at(HIGH), SIZE, 0));
}
END_TEST

/* At the limit, pages that read as zero already are kept like the others. */
START_TEST(what_is_kept_is_not_given_back)
{
	memset(at(LOW + 2 * MIB + P), 0, 2 * P);
	private_file_limit(ram.private_file, 1);
	struct discard_result result = discard(LOW + 2 * MIB + P, 4 * P);
	ck_assert_uint_eq(result.bytes, 0);
	ck_assert_uint_eq(result.zeroed, 4 * P);
	ck_assert(memory_is(at(LOW + 2 * MIB + P), 4 * P, 0));
	ck_assert(memory_is(at(LOW + 2 * MIB + 5 * P), P, 0x5a));
}
END_TEST

#ifndef __SANITIZE_THREAD__
/* Mappings that are not ours count, too: the kernel refuses, and what was there stays and becomes zero. */
START_TEST(the_kernels_limit_is_kept)
{
	enum { MANY = 40000, SPARE = 50 };
	uint8_t *others = mmap(NULL, 2 * MANY * P, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t n = 0, page = 1, kept = 0;

	ck_assert_ptr_ne(others, MAP_FAILED);
	private_file_limit(ram.private_file, 1U << 30);
	while (n < MANY && mprotect(others + 2 * n * P, P, PROT_READ) == 0)
		n++;
	if (n == MANY) {
		printf("SKIPPED: %s: vm.max_map_count is too high\n", __func__);
		munmap(others, 2 * MANY * P);
		return;
	}
	for (unsigned int i = 0; i < SPARE; i++)
		ck_assert_int_eq(mprotect(others + 2 * --n * P, P, PROT_NONE), 0);
	for (; page < 4 * SPARE && !kept; page += 2)
		kept = discard(HIGH + page * P, P).zeroed;
	ck_assert_uint_eq(kept, P);
	munmap(others, 2 * MANY * P);
	for (uint64_t i = 0; i < page; i++)
		ck_assert(memory_is(at(HIGH + i * P), P, i % 2 ? 0 : 0x5a));
}
END_TEST
#endif

/* What was used up for many small pieces comes back when a large one covers them. */
START_TEST(a_large_discard_repays)
{
	private_file_limit(ram.private_file, 250);
	for (unsigned int turn = 0; turn < 10; turn++) {
		/* Each second page, then the gaps between them, which the kernel joins with both neighbours. */
		for (uint64_t page = 1; page < 200; page += 2)
			ck_assert_uint_eq(discard(HIGH + page * P, P).zeroed, 0);
		for (uint64_t page = 2; page < 200; page += 2)
			ck_assert_uint_eq(discard(HIGH + page * P, P).zeroed, 0);
		ck_assert_uint_eq(discard(HIGH, MIB).zeroed, 0);
		ck_assert_int_eq(
			private_file_map(ram.private_file, &runs[1], fileno(file), P + 2 * MIB), 0);
	}
	ck_assert_uint_le(mappings(), 10);
}
END_TEST

START_TEST(figures_stay_right)
{
	struct ram_usage usage;

	for (uint64_t page = 1; page < 100; page += 2)
		discard(HIGH + page * P, P);
	madvise(ram.region[1].hva, SIZE, MADV_NOHUGEPAGE);
	memset(at(HIGH), 0x77, 100 * P);
	ck_assert_int_eq(ram_usage(&ram, &usage), 0);
	ck_assert_uint_ge(usage.rss, 100 * P);
	ck_assert_uint_eq(usage.own, 100 * P);
	/* What is only read is the file's. */
	ck_assert(memory_is(at(HIGH + 2 * MIB), MIB, 0x5a));
	ck_assert_int_eq(ram_usage(&ram, &usage), 0);
	ck_assert_uint_ge(usage.rss, 100 * P + MIB);
	ck_assert_uint_eq(usage.own, 100 * P);
}
END_TEST

/* A guest that was restored can be saved: also what it never touched. */
START_TEST(untouched_pages_of_the_file_are_present)
{
	struct present_cursor cursor = {0};
	bool present[PRESENT_PAGES];

	ram.pagemap = present_open();
	discard(LOW + 2 * MIB + P, P);
	ck_assert_int_eq(ram_present(&ram, &cursor, &ram.region[0], MIB, 2, present), 0);
	ck_assert(!present[0] && !present[1]);
	ck_assert_int_eq(ram_present(&ram, &cursor, &ram.region[0], 2 * MIB, 3, present), 0);
	ck_assert(present[0] && !present[1] && present[2]);
}
END_TEST

/* What of the file was used: read or written, but not what was discarded, nor what never was the file's. */
START_TEST(touched_pages_of_the_file_are_found)
{
	bool touched[PRESENT_PAGES];

	ram.pagemap = present_open();
	*at(LOW) = 1;
	ck_assert_int_eq(ram_touched(&ram, &ram.region[0], 0, 512, touched), 0);
	ck_assert(!touched[0]);
	ck_assert_int_eq(ram_touched(&ram, &ram.region[0], 2 * MIB, 512, touched), 0);
	for (unsigned int i = 0; i < 512; i++)
		ck_assert(!touched[i]);
	*at(LOW + 2 * MIB + 100 * P) = 1;
	*at(LOW + 2 * MIB + 200 * P) = 1;
	discard(LOW + 2 * MIB + 200 * P, P);
	*at(LOW + 2 * MIB + 200 * P) = 1;
	ck_assert_int_eq(ram_touched(&ram, &ram.region[0], 2 * MIB, 512, touched), 0);
	for (unsigned int i = 0; i < 512; i++)
		ck_assert_msg(touched[i] == (i == 100), "page %u", i);
	/* What is read has its neighbours with it. */
	ck_assert_int_eq(*(volatile uint8_t *)at(LOW + 2 * MIB), 0x5a);
	ck_assert_int_eq(ram_touched(&ram, &ram.region[0], 2 * MIB, 512, touched), 0);
	ck_assert(touched[0] && touched[100] && !touched[200]);
	ck_assert_int_eq(ram_touched(&ram, &ram.region[0], SIZE - P, 2, touched), -EINVAL);
}
END_TEST

/* What an increment has: a copy of a page, and what is not the file's any more; not what was only read, or not touched. */
START_TEST(changed_pages_are_found)
{
	bool changed[PRESENT_PAGES];

	ram.pagemap = present_open();
	ck_assert_int_eq(*(volatile uint8_t *)at(LOW + 2 * MIB), 0x5a);
	*at(LOW + 2 * MIB + 100 * P) = 1;
	discard(LOW + 2 * MIB + 200 * P, 2 * P);
	*at(LOW + 2 * MIB + 201 * P) = 1;
	ck_assert_int_eq(ram_changed(&ram, &ram.region[0], 2 * MIB, 512, changed), 0);
	for (unsigned int i = 0; i < 512; i++)
		ck_assert_msg(changed[i] == (i == 100 || i == 200 || i == 201), "page %u", i);
	/* Never the file's. */
	ck_assert_int_eq(ram_changed(&ram, &ram.region[0], MIB, 1, changed), 0);
	ck_assert(changed[0]);
	ck_assert_int_eq(ram_changed(&ram, &ram.region[0], SIZE - P, 2, changed), -EINVAL);
}
END_TEST

/* A restored guest is told of it. */
START_TEST(it_is_known_when_mappings_are_used_up)
{
	ck_assert(!private_file_is_full(NULL));
	ck_assert(!private_file_is_full(ram.private_file));
	private_file_limit(ram.private_file, 4);
	ck_assert(!private_file_is_full(ram.private_file));
	const struct gpa_range middle = {HIGH + MIB, P};
	ck_assert_int_eq(ram_map_file(&ram, &middle, 1, fileno(file), P), 0);
	ck_assert(private_file_is_full(ram.private_file));
}
END_TEST

/* Whether the page at @hva is in swap. */
static bool is_swapped(const void *hva)
{
	uint64_t entry = 0;

	ck_assert_int_eq(pread(ram.pagemap, &entry, sizeof(entry),
			       (off_t)((uintptr_t)hva / P * sizeof(entry))),
			 sizeof(entry));
	return entry >> 62 & 1;
}

/* What is swapped out is a copy, too. */
START_TEST(changed_pages_stay_so_when_the_host_is_short)
{
	bool changed[PRESENT_PAGES];

	ram.pagemap = present_open();
	*at(LOW + 2 * MIB + 5 * P) = 1;
	ck_assert_int_eq(*(volatile uint8_t *)at(LOW + 2 * MIB + 6 * P), 0x5a);
	madvise(at(LOW + 2 * MIB), MIB, MADV_PAGEOUT);
	if (!is_swapped(at(LOW + 2 * MIB + 5 * P))) {
		printf("SKIPPED: the host has no swap, or not now\n");
		return;
	}
	ck_assert_int_eq(ram_changed(&ram, &ram.region[0], 2 * MIB, 16, changed), 0);
	for (unsigned int i = 0; i < 16; i++)
		ck_assert_msg(changed[i] == (i == 5), "page %u", i);
	ck_assert_int_eq(*at(LOW + 2 * MIB + 5 * P), 1);
}
END_TEST

/* Not only a vCPU touches guest RAM. */
START_TEST(a_shorter_file_ends_the_process)
{
	fatal_take();
	ck_assert_int_eq(ftruncate(fileno(file), 2 * P), 0);
	ck_assert_int_eq(*(volatile uint8_t *)at(LOW + 2 * MIB), 0x5a);
	*(volatile uint8_t *)at(HIGH);
}
END_TEST

static atomic_bool stop;

/* Discards pages of its own without end. */
static void *discarder(void *arg)
{
	uint64_t first = *(const unsigned int *)arg, lost = 0;

	for (unsigned int i = 0; !atomic_load(&stop) || i < 64; i++) {
		uint64_t gpa = HIGH + (first + i % 64 * 2) * P;
		volatile uint8_t *byte = at(gpa);
		*byte = 0x44;
		discard(gpa, P);
		lost += *byte != 0;
	}
	return (void *)(uintptr_t)lost;
}

START_TEST(threads)
{
	static unsigned int first[] = {0, 1};
	pthread_t thread[2];
	void *lost;

	atomic_store(&stop, false);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, discarder, &first[i]), 0);
	/* Beside them the guest uses other memory of the file. */
	for (int i = 0; i < 100; i++) {
		memset(at(HIGH + MIB), i, MIB);
		ck_assert(memory_is(at(HIGH + MIB), MIB, (uint8_t)i));
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 2; i++) {
		pthread_join(thread[i], &lost);
		ck_assert_ptr_null(lost);
	}
	ck_assert(memory_is(at(HIGH + 200 * P), MIB - 200 * P, 0x5a));
}
END_TEST

START_TEST(other_memory_cannot_be_mapped)
{
	static const struct ram_config config[] = {
		{.backing = RAM_MEMFD, .numa_node = -1},
		{.prealloc = true, .numa_node = -1},
		{.numa_node = 0},
	};
	const struct gpa_range span = {0, MIB};
	struct ram other;

	ck_assert_int_eq(ram_init(&other, &config[_i], &span, 1), 0);
	ck_assert_int_eq(ram_map_file(&other, &span, 1, fileno(file), 0), -EOPNOTSUPP);
	ram_release(&other);
}
END_TEST

START_TEST(only_ram_can_be_mapped)
{
	const struct ram_config config = RAM_CONFIG_DEFAULT;
	const struct gpa_range span = {MIB, MIB};
	const struct gpa_range bad[] = {
		{0, MIB}, {MIB, 2 * MIB}, {2 * MIB, P}, {2 * MIB - P, 2 * P}};
	struct ram other;

	ck_assert_int_eq(ram_init(&other, &config, &span, 1), 0);
	ck_assert_int_eq(ram_map_file(&other, &bad[_i], 1, fileno(file), 0), -EINVAL);
	ram_release(&other);
}
END_TEST

Suite *private_file_suite(void);
Suite *private_file_suite(void)
{
	Suite *suite = suite_create("private_file");
	TCase *tcase = tcase_create("discard");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, the_file_is_read_and_not_written);
	tcase_add_test(tcase, the_naive_way_brings_the_file_back);
	tcase_add_test(tcase, what_is_discarded_is_zero_and_gone);
	tcase_add_test(tcase, it_stays_like_other_memory);
	tcase_add_test(tcase, many_together);
	tcase_add_test(tcase, mappings_are_bounded);
	tcase_add_loop_test(tcase, a_limit_is_kept, 0, 4);
	tcase_add_test(tcase, what_is_kept_is_not_given_back);
#ifndef __SANITIZE_THREAD__ /* which needs mappings of its own */
	tcase_add_test(tcase, the_kernels_limit_is_kept);
#endif
	tcase_add_test(tcase, a_large_discard_repays);
	tcase_add_test(tcase, figures_stay_right);
	tcase_add_test(tcase, untouched_pages_of_the_file_are_present);
	tcase_add_test(tcase, touched_pages_of_the_file_are_found);
	tcase_add_test(tcase, changed_pages_are_found);
	tcase_add_test(tcase, it_is_known_when_mappings_are_used_up);
	tcase_add_test(tcase, changed_pages_stay_so_when_the_host_is_short);
	tcase_add_exit_test(tcase, a_shorter_file_ends_the_process, FATAL_GUEST_FAILED);
	tcase_add_test(tcase, threads);
	tcase_add_loop_test(tcase, other_memory_cannot_be_mapped, 0, 3);
	tcase_add_loop_test(tcase, only_ram_can_be_mapped, 0, 4);
	suite_add_tcase(suite, tcase);
	return suite;
}
