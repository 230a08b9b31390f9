// SPDX-License-Identifier: Apache-2.0
/* A guest that was saved while it ran: put in order, its memory is what it was last, once, and can be mapped. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/failing.h"
#include "tests/unit/memory.h"
#include "vmm/snapshot/settle.h"
#include "vmm/snapshot/written.h"

#define PAGE   4096ULL
#define LOW    0x10000ULL
#define HIGH   0x100000000ULL
#define LOW_N  1500ULL /* pages: no whole blocks */
#define HIGH_N 70ULL
#define BLOCK  512ULL

static const struct gpa_range region[] = {{LOW, LOW_N *PAGE}, {HIGH, HIGH_N *PAGE}};
static uint8_t was[LOW_N + HIGH_N][PAGE]; /* the guest's memory, as it was last */
static struct ram there;
static int came, settled; /* files */
static struct snapshot_writer writer;
static char why[160];
static unsigned int forgotten; /* of what is written, the sections that do not come */

static int file_write(void *ctx, const void *data, size_t len)
{
	return write(*(int *)ctx, data, len) == (ssize_t)len ? 0 : -EIO;
}

static int file_read(void *ctx, void *data, size_t len)
{
	return (int)read(*(int *)ctx, data, len);
}

static uint64_t gpa_of(uint64_t page)
{
	return page < LOW_N ? LOW + page * PAGE : HIGH + (page - LOW_N) * PAGE;
}

/* The guest has @n pages with @value, which may be 0, and they are sent. */
static void send_pages(uint64_t page, uint64_t n, uint8_t value)
{
	memset(was[page], value, n * PAGE);
	if (forgotten)
		forgotten--;
	else
		snapshot_written_write(&writer, gpa_of(page), n, value ? was[page] : NULL);
}

static void begin(void)
{
	ck_assert_int_eq(ftruncate(came, 0) | ftruncate(settled, 0), 0);
	ck_assert_int_eq(lseek(came, 0, SEEK_SET) | lseek(settled, 0, SEEK_SET), 0);
	writer = (struct snapshot_writer){.write = file_write, .ctx = &came};
	snapshot_begin(&writer);
	snapshot_write(&writer, SNAPSHOT_MACHINE, 0, "machine", 7);
}

static void end(void)
{
	static const struct snapshot_memory none;

	snapshot_memory_write(&writer, &none);
	snapshot_write(&writer, SNAPSHOT_CPU, 3, "cpu", 3);
	ck_assert_int_eq(snapshot_end(&writer), 0);
}

static void setup(void)
{
	const struct ram_config config = RAM_CONFIG_DEFAULT;

	ck_assert_int_eq(ram_init(&there, &config, region, 2), 0);
	came = memfd_create("came", MFD_CLOEXEC);
	settled = memfd_create("settled", MFD_CLOEXEC);
	ck_assert(came >= 0 && settled >= 0);
	memset(was, 0, sizeof(was));
	forgotten = 0;
	srand(1);
	begin();
}

static void teardown(void)
{
	ram_release(&there);
	close(came);
	close(settled);
}

static int settle(void)
{
	struct snapshot_writer out = {.write = file_write, .ctx = &settled};

	return snapshot_settle(came, region, 2, &out, why, sizeof(why));
}

/* Reads what was settled, as a restore does. Returns how many pages it has. */
static uint64_t restore(void)
{
	static uint8_t room[SNAPSHOT_PAYLOAD_MAX];
	static struct snapshot_memory memory;
	struct snapshot_reader reader = {.read = file_read, .ctx = &settled};
	struct snapshot_section section;
	struct record_in in;
	uint32_t checksum = 0;

	ck_assert_int_eq(lseek(settled, 0, SEEK_SET), 0);
	ck_assert_int_eq(snapshot_open(&reader), 0);
	ck_assert_int_eq(snapshot_expect(&reader, SNAPSHOT_MACHINE, 0, room, &in), 0);
	ck_assert(in.left == 7 && memcmp(in.at, "machine", 7) == 0);
	ck_assert_int_eq(snapshot_next(&reader, &section), 0);
	ck_assert_uint_eq(section.type, SNAPSHOT_MEMORY);
	ck_assert_int_eq(snapshot_memory_read(&reader, &section, &there, &memory, NULL), 0);
	ck_assert_int_eq(snapshot_pages_read(&reader, &memory, &there, &checksum), 0);
	ck_assert_int_eq(snapshot_expect(&reader, SNAPSHOT_CPU, 3, room, &in), 0);
	ck_assert(in.left == 3 && memcmp(in.at, "cpu", 3) == 0);
	ck_assert_int_eq(snapshot_next(&reader, &section), 0);
	ck_assert_int_eq(snapshot_close(&reader, &section, memory.pages, &checksum), 0);
	return memory.pages;
}

static bool is_same(void)
{
	return memcmp(there.region[0].hva, was[0], LOW_N * PAGE) == 0 &&
	       memcmp(there.region[1].hva, was[LOW_N], HIGH_N * PAGE) == 0;
}

/* At random: pages, and pages that read as zero, one over the other. */
static void send_much(void)
{
	for (int i = 0; i < 400; i++) {
		uint64_t page = (uint64_t)rand() % (LOW_N + HIGH_N);
		uint64_t left = (page < LOW_N ? LOW_N : LOW_N + HIGH_N) - page;
		uint64_t n = 1 + (uint64_t)rand() % SNAPSHOT_WRITTEN_MAX;
		send_pages(page, n < left ? n : left, rand() % 3 ? (uint8_t)(1 + i % 255) : 0);
	}
}

START_TEST(it_is_as_it_was_last)
{
	srand((unsigned int)_i + 1);
	send_much();
	end();
	ck_assert_msg(settle() == 0, "%s", why);
	restore();
	ck_assert(is_same());
}
END_TEST

/* The control: what is written last counts. */
START_TEST(without_the_rest_it_is_not)
{
	send_much();
	forgotten = 100;
	send_much();
	end();
	ck_assert_int_eq(settle(), 0);
	restore();
	ck_assert(!is_same());
}
END_TEST

/* Blocks of 2 MiB that hold something, whole; none of a block that was given back; and no memory at all. */
START_TEST(what_was_given_back_is_not_in_it)
{
	static const uint64_t pages[] = {BLOCK + HIGH_N, HIGH_N, 0};

	send_pages(3, 5, 1);
	send_pages(BLOCK, 5, 1);
	send_pages(LOW_N + 5, 1, 1);
	send_pages(3, 4, 0);
	if (_i > 0)
		send_pages(0, BLOCK, 0);
	if (_i > 1)
		send_pages(LOW_N, HIGH_N, 0);
	send_pages(BLOCK, 5, 0);
	end();
	ck_assert_int_eq(settle(), 0);
	ck_assert_uint_eq(restore(), pages[_i]);
	ck_assert(is_same());
}
END_TEST

static void refused(const char *words)
{
	ck_assert_int_lt(settle(), 0);
	ck_assert_msg(strstr(why, words), "%s", why);
}

START_TEST(what_is_no_ram_is_refused)
{
	static const struct gpa_range wrong[] = {
		{LOW - PAGE, PAGE},
		{LOW + LOW_N * PAGE, PAGE},
		{HIGH, (HIGH_N + 1) * PAGE},
		{HIGH + 1, PAGE},
		{HIGH, 0},
		{UINT64_MAX - PAGE + 1, PAGE},
		{HIGH, UINT64_MAX - PAGE + 1},
	};

	snapshot_written_write(&writer, wrong[_i].gpa, wrong[_i].len / PAGE, NULL);
	end();
	refused("where the guest has none");
}
END_TEST

START_TEST(memory_in_two_ways_is_refused)
{
	static struct snapshot_memory memory = {1, 1, {{LOW, PAGE}}};

	send_pages(0, 1, 1);
	snapshot_memory_write(&writer, &memory);
	snapshot_pages_write(&writer, was[0], 1);
	end();
	refused("two ways");
	begin();
	end();
	send_pages(0, 1, 1);
	snapshot_end(&writer);
	refused("goes on after its end");
	/* Before its end. */
	begin();
	memory.runs = 0;
	memory.pages = 0;
	snapshot_memory_write(&writer, &memory);
	send_pages(0, 1, 1);
	end();
	refused("after its list");
}
END_TEST

/* More than any guest writes, so that reading it ends. */
START_TEST(memory_too_often_is_refused)
{
	for (unsigned int i = 0; i <= SNAPSHOT_ROUNDS_MAX; i++) {
		send_pages(0, LOW_N, 0);
		send_pages(LOW_N, HIGH_N, 0);
	}
	end();
	refused("too often");
}
END_TEST

/* Each bit of some bytes, and each of some lengths. */
START_TEST(damage_is_found)
{
	send_pages(0, 2, 1);
	send_pages(1, 1, 2);
	send_pages(0, 1, 0);
	end();
	off_t size = lseek(came, 0, SEEK_END);
	for (off_t at = 0; at < size; at += at < 300 || size - at < 300 ? 1 : 97) {
		uint8_t byte;
		ck_assert_int_eq(pread(came, &byte, 1, at), 1);
		byte ^= (uint8_t)(1 << at % 8);
		ck_assert_int_eq(pwrite(came, &byte, 1, at), 1);
		ck_assert_msg(settle() < 0 && why[0], "byte %lld", (long long)at);
		byte ^= (uint8_t)(1 << at % 8);
		ck_assert_int_eq(pwrite(came, &byte, 1, at), 1);
	}
	ck_assert_int_eq(settle(), 0);
	for (off_t len = size - 1; len >= 0; len -= len < 300 || size - len < 300 ? 1 : 97) {
		ck_assert_int_eq(ftruncate(came, len), 0);
		ck_assert_msg(settle() < 0 && why[0], "%lld bytes", (long long)len);
	}
}
END_TEST

/* At each place where it needs some, it says so; once it has enough, nothing. */
START_TEST(without_memory_it_says_so)
{
	unsigned int nth = 0;
	bool failed;

	send_pages(0, 1, 1);
	send_pages(BLOCK, 1, 1);
	end();
	do {
		failing_arm(++nth);
		int error = settle();
		failed = failing_disarm();
		ck_assert_int_eq(error, failed ? -ENOMEM : 0);
		ck_assert_msg(failed == !!strstr(why, "no memory is left"), "%s", why);
	} while (failed);
	/* For itself, for each region, and for each block that is not zeros. */
	ck_assert_uint_eq(nth, 1 + 2 + 2 + 1);
}
END_TEST

Suite *settle_suite(void);
Suite *settle_suite(void)
{
	Suite *suite = suite_create("settle");
	TCase *tcase = tcase_create("settle");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, it_is_as_it_was_last, 0, 5);
	tcase_add_test(tcase, without_the_rest_it_is_not);
	tcase_add_loop_test(tcase, what_was_given_back_is_not_in_it, 0, 3);
	tcase_add_loop_test(tcase, what_is_no_ram_is_refused, 0, 7);
	tcase_add_test(tcase, memory_in_two_ways_is_refused);
	tcase_add_test(tcase, memory_too_often_is_refused);
	tcase_add_test(tcase, damage_is_found);
	tcase_add_test(tcase, without_memory_it_says_so);
	suite_add_tcase(suite, tcase);
	return suite;
}
