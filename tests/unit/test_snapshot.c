// SPDX-License-Identifier: Apache-2.0
/* The format: what is written is read, and nothing else is (docs/snapshot-format.md). */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/lib/record.h"
#include "vmm/snapshot/pages.h"
#include "vmm/snapshot/stream.h"

#define PAGE	 4096
#define LOW	 0x10000
#define LOW_SIZE (600 * PAGE)
#define HIGH	 0x100000000ULL

/* A file in memory. */
static struct {
	uint8_t *bytes;
	size_t len, at;
	size_t piece; /* the most that one read gives */
	int error;
} file;
static uint8_t *low, *high;
static struct ram ram;
static struct snapshot_writer writer;
static struct snapshot_reader reader;
static struct snapshot_pages pages;

static int file_write(void *ctx, const void *data, size_t len)
{
	ck_assert_ptr_eq(ctx, &file);
	if (file.error)
		return file.error;
	file.bytes = realloc(file.bytes, file.len + len);
	memcpy(file.bytes + file.len, data, len);
	file.len += len;
	return 0;
}

static int file_read(void *ctx, void *data, size_t len)
{
	ck_assert_ptr_eq(ctx, &file);
	if (file.error)
		return file.error;
	len = len < file.piece ? len : file.piece;
	len = len < file.len - file.at ? len : file.len - file.at;
	memcpy(data, file.bytes + file.at, len);
	file.at += len;
	return (int)len;
}

static void setup(void)
{
	memset(&file, 0, sizeof(file));
	file.piece = SIZE_MAX;
	low = calloc(1, LOW_SIZE);
	high = calloc(2, PAGE);
	ram = (struct ram){.region = {{LOW, LOW_SIZE, low}, {HIGH, 2 * PAGE, high}}, .regions = 2};
	writer = (struct snapshot_writer){.write = file_write, .ctx = &file};
	snapshot_pages_init(&pages, &writer);
}

static void teardown(void)
{
	free(file.bytes);
	free(low);
	free(high);
}

/* Saves all of RAM. */
static void save_pages(void)
{
	for (size_t i = 0; i < LOW_SIZE; i += PAGE)
		ck_assert_int_eq(snapshot_pages_add(&pages, LOW + i, low + i), 0);
	for (size_t i = 0; i < 2 * PAGE; i += PAGE)
		ck_assert_int_eq(snapshot_pages_add(&pages, HIGH + i, high + i), 0);
	ck_assert_int_eq(snapshot_pages_flush(&pages), 0);
}

static void save(void)
{
	ck_assert_int_eq(snapshot_begin(&writer), 0);
	ck_assert_int_eq(snapshot_write(&writer, SNAPSHOT_MACHINE, 0, "machine", 7), 0);
	save_pages();
	ck_assert_int_eq(snapshot_write(&writer, SNAPSHOT_CPU, 3, "cpu", 3), 0);
	ck_assert_int_eq(snapshot_end(&writer, pages.total), 0);
	ck_assert_uint_eq(writer.offset, file.len);
}

static int expect(uint32_t type, uint32_t number, const char *text)
{
	struct snapshot_section section;
	char payload[16];
	int error = snapshot_next(&reader, &section);

	if (error)
		return error;
	if (section.type != type || section.number != number)
		return snapshot_bad(&reader, "it has another section");
	error = snapshot_payload(&reader, &section, payload, sizeof(payload));
	if (error)
		return error;
	ck_assert_uint_eq(section.len, strlen(text));
	ck_assert_mem_eq(payload, text, strlen(text));
	return 0;
}

/* Reads what save() wrote, into RAM. */
static int load(void)
{
	struct snapshot_pages_in in = {0};
	struct snapshot_section section;

	file.at = 0;
	reader = (struct snapshot_reader){.read = file_read, .ctx = &file};
	int error = snapshot_open(&reader);
	if (!error)
		error = expect(SNAPSHOT_MACHINE, 0, "machine");
	bool cpu = false;
	while (!error) {
		error = snapshot_next(&reader, &section);
		if (error || section.type == SNAPSHOT_END)
			break;
		char payload[16];
		if (section.type == SNAPSHOT_PAGES) {
			error = snapshot_pages_read(&reader, &section, &ram, &in);
			continue;
		}
		error = snapshot_payload(&reader, &section, payload, sizeof(payload));
		cpu = !error && section.type == SNAPSHOT_CPU && section.number == 3;
		if (!cpu && !error)
			error = snapshot_bad(&reader, "it has another section");
	}
	if (!error)
		error = snapshot_close(&reader, &section, in.total);
	ck_assert(error || cpu);
	ck_assert_int_eq(error == 0, reader.why[0] == '\0');
	return error;
}

static void fails(const char *why)
{
	ck_assert_int_eq(load(), -EINVAL);
	ck_assert_msg(strstr(reader.why, why), "\"%s\" instead of \"%s\"", reader.why, why);
}

START_TEST(all_comes_back)
{
	for (size_t i = 0; i < LOW_SIZE; i += PAGE)
		if (i / PAGE % 7)
			memset(low + i, (int)(1 + i / PAGE % 200), PAGE);
	high[2 * PAGE - 1] = 1;
	save();
	uint8_t *was = malloc(LOW_SIZE);
	memcpy(was, low, LOW_SIZE);
	for (file.piece = 7; file.piece < 100000; file.piece *= 13) {
		memset(low, 0, LOW_SIZE);
		memset(high, 0, 2 * PAGE);
		ck_assert_int_eq(load(), 0);
		ck_assert_mem_eq(low, was, LOW_SIZE);
		ck_assert_int_eq(high[2 * PAGE - 1], 1);
		ck_assert_int_eq(high[0], 0);
	}
	free(was);
}
END_TEST

START_TEST(zeros_cost_nothing)
{
	save();
	size_t empty = file.len;
	ck_assert_uint_eq(pages.total, 0);
	ck_assert_uint_lt(empty, PAGE);
	/* One byte anywhere makes a page. */
	low[5 * PAGE] = low[9 * PAGE - 1] = 1;
	file.len = 0;
	writer.offset = writer.sections = 0;
	snapshot_pages_init(&pages, &writer);
	save();
	ck_assert_uint_eq(pages.total, 2);
	ck_assert_uint_lt(file.len, empty + 5 * PAGE);
}
END_TEST

/* A page could be mapped from the file. */
START_TEST(pages_are_aligned)
{
	memset(low, 0x5a, LOW_SIZE);
	save();
	unsigned int found = 0;
	for (size_t at = 0; at + PAGE <= file.len; at += PAGE)
		found += file.bytes[at] == 0x5a && file.bytes[at + PAGE - 1] == 0x5a;
	ck_assert_uint_eq(found, LOW_SIZE / PAGE);
	/* And what is not memory is little: a table for each 256. */
	ck_assert_uint_lt(file.len, LOW_SIZE + 6 * PAGE);
}
END_TEST

START_TEST(every_second_page)
{
	for (size_t i = 0; i < LOW_SIZE; i += 2 * PAGE)
		low[i + 17] = 0xff;
	save();
	memset(low, 0, LOW_SIZE);
	ck_assert_int_eq(load(), 0);
	for (size_t i = 0; i < LOW_SIZE; i += PAGE)
		ck_assert_int_eq(low[i + 17], i / PAGE % 2 ? 0 : 0xff);
}
END_TEST

START_TEST(every_truncation_is_found)
{
	low[0] = low[2 * PAGE] = 1;
	save();
	size_t whole = file.len;
	for (size_t len = 0; len < whole; len += len < 200 || whole - len < 200 ? 1 : 61) {
		file.len = len;
		fails("cut short");
	}
	file.len = whole;
	ck_assert_int_eq(load(), 0);
}
END_TEST

START_TEST(every_flipped_bit_is_found)
{
	low[0] = low[2 * PAGE] = 1;
	save();
	for (size_t bit = 0; bit < 8 * file.len; bit += bit / 8 % PAGE < 300 ? 1 : 211) {
		file.bytes[bit / 8] ^= 1 << bit % 8;
		ck_assert_msg(load() == -EINVAL, "bit %zu", bit);
		file.bytes[bit / 8] ^= 1 << bit % 8;
	}
	ck_assert_int_eq(load(), 0);
}
END_TEST

START_TEST(more_at_the_end_is_found)
{
	save();
	file_write(&file, "", 1);
	fails("goes on after its end");
}
END_TEST

/* Whole sections with right checksums, but not those that were written. */
START_TEST(lost_and_doubled_sections_are_found)
{
	save();
	size_t first = SNAPSHOT_HEAD, len = SNAPSHOT_SECTION + 7, rest = file.len - first - len;
	uint8_t *was = malloc(file.len);
	size_t whole = file.len;
	memcpy(was, file.bytes, whole);

	memmove(file.bytes + first, file.bytes + first + len, rest);
	file.len -= len;
	fails("a section is missing");

	memcpy(file.bytes, was, first + len);
	file.len = first + len;
	file_write(&file, was + first, len);
	file_write(&file, was + first + len, rest);
	fails("a section is missing");
	free(was);
}
END_TEST

START_TEST(the_end_counts)
{
	ck_assert_int_eq(snapshot_begin(&writer), 0);
	ck_assert_int_eq(snapshot_write(&writer, SNAPSHOT_MACHINE, 0, "machine", 7), 0);
	ck_assert_int_eq(snapshot_write(&writer, SNAPSHOT_CPU, 3, "cpu", 3), 0);
	ck_assert_int_eq(snapshot_end(&writer, 1), 0);
	fails("sections are missing");
}
END_TEST

START_TEST(another_version_is_refused)
{
	save();
	file.bytes[8] = 2;
	uint32_t seal = snapshot_checksum(0, file.bytes, SNAPSHOT_HEAD - 4);
	struct record head = {file.bytes, SNAPSHOT_HEAD, SNAPSHOT_HEAD - 4, false};
	record_u32(&head, seal);
	fails("version 2, and this ebb reads version 1");
}
END_TEST

static void seal_again(size_t at, size_t len)
{
	struct record bytes = {file.bytes + at, len, len - 4, false};
	record_u32(&bytes, snapshot_checksum(0, file.bytes + at, len - 4));
}

static void save_again(void)
{
	teardown();
	setup();
	save();
}

/* What a later version may use, of right checksums: each byte that is zero today. */
START_TEST(what_is_not_known_is_refused)
{
	for (size_t at = 12; at < SNAPSHOT_HEAD - 4; at++) {
		save_again();
		file.bytes[at] = 1;
		seal_again(0, SNAPSHOT_HEAD);
		fails("does not know");
	}
	for (size_t at = 24; at < 28; at++) {
		save_again();
		file.bytes[SNAPSHOT_HEAD + at] = 1;
		seal_again(SNAPSHOT_HEAD, SNAPSHOT_SECTION);
		fails("does not know");
	}
	/* A machine has no number. */
	save_again();
	file.bytes[SNAPSHOT_HEAD + 4] = 1;
	seal_again(SNAPSHOT_HEAD, SNAPSHOT_SECTION);
	fails("does not know");
}
END_TEST

START_TEST(filler_of_something_is_refused)
{
	static const uint8_t filler[600] = {[599] = 1};

	ck_assert_int_eq(snapshot_begin(&writer), 0);
	ck_assert_int_eq(snapshot_write(&writer, SNAPSHOT_FILLER, 0, filler, sizeof(filler)), 0);
	ck_assert_int_eq(snapshot_write(&writer, SNAPSHOT_MACHINE, 0, "machine", 7), 0);
	fails("does not know");
}
END_TEST

START_TEST(another_file_is_refused)
{
	memset(low, 'x', PAGE);
	file_write(&file, low, PAGE);
	fails("no snapshot");
}
END_TEST

/* A section of pages as a stranger would make it, with right checksums. */
static void forge(unsigned int runs, unsigned int count, size_t len, const struct snapshot_run *run)
{
	uint8_t *payload = calloc(1, SNAPSHOT_TABLE + 300 * PAGE);
	struct record table = {payload, SNAPSHOT_TABLE, 0, false};

	record_u32(&table, runs);
	record_u32(&table, count);
	for (unsigned int i = 0; i < 2 && run; i++) {
		record_u64(&table, run[i].gpa);
		record_u64(&table, run[i].pages);
	}
	table.len = SNAPSHOT_TABLE - 4;
	record_u32(&table, snapshot_checksum(0, payload, SNAPSHOT_TABLE - 4));
	file.len = 0;
	writer.offset = writer.sections = 0;
	snapshot_begin(&writer);
	snapshot_write(&writer, SNAPSHOT_MACHINE, 0, "machine", 7);
	snapshot_write(&writer, SNAPSHOT_PAGES, 0, payload, len);
	snapshot_write(&writer, SNAPSHOT_CPU, 3, "cpu", 3);
	snapshot_end(&writer, count);
	free(payload);
}

START_TEST(forged_pages_are_refused)
{
	const struct snapshot_run good[2] = {{LOW, 1}, {HIGH, 1}};
	const struct snapshot_run bad[][2] = {
		{{0, 1}, {HIGH, 1}},
		{{LOW - PAGE, 2}, {HIGH, 1}},
		{{LOW + LOW_SIZE - PAGE, 2}, {HIGH, 1}},
		{{LOW + 1, 1}, {HIGH, 1}},
		{{LOW, 0}, {HIGH, 2}},
		{{HIGH, 1}, {LOW, 1}},
		{{LOW, 1}, {LOW, 1}},
		{{UINT64_MAX - PAGE + 1, 1}, {HIGH, 1}},
		{{HIGH, 1}, {UINT64_MAX - PAGE + 1, 1}},
		{{LOW, UINT64_MAX}, {HIGH, 3}},
		{{LOW, UINT64_MAX / PAGE + 2}, {HIGH, 1}},
	};
	forge(2, 2, SNAPSHOT_TABLE + 2 * PAGE, good);
	ck_assert_int_eq(load(), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		forge(2, 2, SNAPSHOT_TABLE + 2 * PAGE, bad[i]);
		ck_assert_msg(load() == -EINVAL, "case %zu", i);
	}
	forge(2, 2, SNAPSHOT_TABLE + PAGE, good);
	fails("wrong length");
	forge(2, 3, SNAPSHOT_TABLE + 3 * PAGE, good);
	fails("damaged");
	forge(1, 2, SNAPSHOT_TABLE + 2 * PAGE, good);
	fails("damaged");
	forge(2, 1, SNAPSHOT_TABLE + PAGE, good);
	fails("more than it counts");
	forge(2, 257, SNAPSHOT_TABLE + 257 * PAGE, good);
	fails("wrong length");
	forge(UINT32_MAX, 2, SNAPSHOT_TABLE + 2 * PAGE, good);
	fails("wrong length");
	forge(0, 0, SNAPSHOT_TABLE - 1, NULL);
	fails("too short");
}
END_TEST

START_TEST(a_long_section_is_refused)
{
	char payload[17] = {0};

	snapshot_begin(&writer);
	snapshot_write(&writer, SNAPSHOT_MACHINE, 0, payload, sizeof(payload));
	fails("too long");
}
END_TEST

START_TEST(the_first_error_stays)
{
	snapshot_begin(&writer);
	file.error = -ENOSPC;
	ck_assert_int_eq(snapshot_write(&writer, SNAPSHOT_MACHINE, 0, "machine", 7), -ENOSPC);
	file.error = 0;
	low[0] = 1;
	ck_assert_int_eq(snapshot_pages_add(&pages, LOW, low), -ENOSPC);
	ck_assert_int_eq(snapshot_end(&writer, 0), -ENOSPC);
	ck_assert_uint_eq(file.len, SNAPSHOT_HEAD);
	file.error = -EIO;
	ck_assert_int_eq(load(), -EIO);
	ck_assert_ptr_nonnull(strstr(reader.why, "cannot be read"));
}
END_TEST

START_TEST(the_checksum_is_crc32c)
{
	ck_assert_uint_eq(snapshot_checksum(0, "123456789", 9), 0xe3069283);
	uint32_t part = snapshot_checksum(0, "1234", 4);
	ck_assert_uint_eq(snapshot_checksum(part, "56789", 5), 0xe3069283);
}
END_TEST

START_TEST(records)
{
	uint8_t bytes[32];
	struct record record = {bytes, sizeof(bytes), 0, false};
	uint16_t two = 0;

	record_u8(&record, 1);
	record_u16(&record, 0x203);
	record_u32(&record, 0x4050607);
	record_u64(&record, 0x8090a0b0c0d0e0fULL);
	record_struct(&record, "xy", 2);
	ck_assert_uint_eq(record.len, 21);
	ck_assert_mem_eq(bytes, "\1\3\2\7\6\5\4\x0f\x0e\x0d\x0c\x0b\x0a\x09\x08\2\0\0\0xy", 21);

	struct record_in in = {bytes, record.len, false};
	ck_assert_uint_eq(record_take_u8(&in), 1);
	ck_assert_uint_eq(record_take_u16(&in), 0x203);
	ck_assert_uint_eq(record_take_u32(&in), 0x4050607);
	ck_assert_uint_eq(record_take_u64(&in), 0x8090a0b0c0d0e0fULL);
	ck_assert(!record_complete(&in));
	record_take_struct(&in, &two, sizeof(two));
	ck_assert(record_complete(&in));
	/* Beyond the end there are zeros, and it is noticed. */
	ck_assert_uint_eq(record_take_u32(&in), 0);
	ck_assert(!record_complete(&in));
	/* Of another size. */
	in = (struct record_in){bytes + 15, 6, false};
	uint8_t one;
	record_take_struct(&in, &one, sizeof(one));
	ck_assert(in.bad);
	ck_assert_uint_eq(one, 0);
	/* What does not fit is noticed, too. */
	for (unsigned int i = 0; i < 3; i++)
		record_u64(&record, i);
	ck_assert(record.full);
	ck_assert_uint_le(record.len, sizeof(bytes));
}
END_TEST

Suite *snapshot_suite(void);
Suite *snapshot_suite(void)
{
	Suite *suite = suite_create("snapshot");
	TCase *tcase = tcase_create("format");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, all_comes_back);
	tcase_add_test(tcase, zeros_cost_nothing);
	tcase_add_test(tcase, pages_are_aligned);
	tcase_add_test(tcase, every_second_page);
	tcase_add_test(tcase, every_truncation_is_found);
	tcase_add_test(tcase, every_flipped_bit_is_found);
	tcase_add_test(tcase, more_at_the_end_is_found);
	tcase_add_test(tcase, lost_and_doubled_sections_are_found);
	tcase_add_test(tcase, the_end_counts);
	tcase_add_test(tcase, another_version_is_refused);
	tcase_add_test(tcase, another_file_is_refused);
	tcase_add_test(tcase, what_is_not_known_is_refused);
	tcase_add_test(tcase, filler_of_something_is_refused);
	tcase_add_test(tcase, forged_pages_are_refused);
	tcase_add_test(tcase, a_long_section_is_refused);
	tcase_add_test(tcase, the_first_error_stays);
	tcase_add_test(tcase, the_checksum_is_crc32c);
	tcase_add_test(tcase, records);
	suite_add_tcase(suite, tcase);
	return suite;
}
