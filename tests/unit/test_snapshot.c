// SPDX-License-Identifier: Apache-2.0
/* The format: what is written is read, and nothing else is (docs/snapshot-format.md). */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
static struct snapshot_memory memory;

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
	memory = (struct snapshot_memory){0};
}

static void teardown(void)
{
	free(file.bytes);
	free(low);
	free(high);
}

/* Adds to what is saved. */
static void add(uint64_t gpa, uint64_t pages)
{
	memory.run[memory.runs++] = (struct gpa_range){gpa, pages * PAGE};
	memory.pages += pages;
}

/* Of the low region, all; of the high one, the second page. */
static void add_usual(void)
{
	add(LOW, LOW_SIZE / PAGE);
	add(HIGH + PAGE, 1);
}

static void save_pages(void)
{
	ck_assert_int_eq(snapshot_memory_write(&writer, &memory), 0);
	ck_assert_uint_eq(writer.offset % PAGE, 0);
	for (unsigned int i = 0; i < memory.runs; i++)
		ck_assert_int_eq(
			snapshot_pages_write(&writer,
					     ram_at(&ram, memory.run[i].gpa, memory.run[i].len),
					     memory.run[i].len / PAGE),
			0);
}

static void save(void)
{
	ck_assert_int_eq(snapshot_begin(&writer), 0);
	ck_assert_int_eq(snapshot_write(&writer, SNAPSHOT_MACHINE, 0, "machine", 7), 0);
	save_pages();
	ck_assert_int_eq(snapshot_write(&writer, SNAPSHOT_CPU, 3, "cpu", 3), 0);
	ck_assert_int_eq(snapshot_end(&writer), 0);
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

static bool lazily; /* load() leaves out the pages */

/* Reads what save() wrote, into RAM. */
static int load(void)
{
	static struct snapshot_memory in;
	struct snapshot_section section;
	uint32_t checksum = 0;

	file.at = 0;
	reader = (struct snapshot_reader){.read = file_read, .ctx = &file};
	int error = snapshot_open(&reader);
	if (!error)
		error = expect(SNAPSHOT_MACHINE, 0, "machine");
	if (!error)
		error = snapshot_next(&reader, &section);
	if (!error && section.type != SNAPSHOT_MEMORY)
		error = snapshot_bad(&reader, "it has another section");
	if (!error)
		error = snapshot_memory_read(&reader, &section, &ram, &in, NULL);
	if (!error && lazily) {
		file.at += in.pages * PAGE;
		reader.offset += in.pages * PAGE;
		if (file.at > file.len)
			error = snapshot_bad(&reader, "it is cut short");
	} else if (!error) {
		error = snapshot_pages_read(&reader, &in, &ram, &checksum);
	}
	if (!error)
		error = expect(SNAPSHOT_CPU, 3, "cpu");
	if (!error)
		error = snapshot_next(&reader, &section);
	if (!error && section.type != SNAPSHOT_END)
		error = snapshot_bad(&reader, "it has another section");
	if (!error)
		error = snapshot_close(&reader, &section, in.pages, lazily ? NULL : &checksum);
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
	add_usual();
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

/* Reading them touches no page, and they are in no run. */
START_TEST(zeros_are_left_alone)
{
	save();
	ck_assert_uint_lt(file.len, 2 * PAGE);
	ck_assert_int_eq(load(), 0);
	memset(low, 0x77, PAGE);
	ck_assert_int_eq(load(), 0);
	ck_assert_int_eq(low[0], 0x77);

	memset(low, 0, PAGE);
	low[2 * PAGE] = 1;
	add_usual();
	file.len = 0;
	writer = (struct snapshot_writer){.write = file_write, .ctx = &file};
	save();
	/* Where the file has a page of zeros, RAM has one already: it is not written. */
	memset(low, 0x77, 3 * PAGE);
	ck_assert_int_eq(load(), 0);
	ck_assert_int_eq(low[0], 0x77);
	ck_assert_int_eq(low[2 * PAGE], 1);
	ck_assert_int_eq(low[2 * PAGE + 1], 0);
}
END_TEST

/* All pages lie one after the other: so a run is one mapping. */
START_TEST(pages_can_be_mapped)
{
	size_t first = 0;

	for (size_t i = 0; i < LOW_SIZE; i += PAGE)
		memset(low + i, (int)(1 + i / PAGE % 200), PAGE);
	high[PAGE] = 0x99;
	add_usual();
	save();
	while (first + LOW_SIZE < file.len && memcmp(file.bytes + first, low, PAGE) != 0)
		first += PAGE;
	ck_assert_mem_eq(file.bytes + first, low, LOW_SIZE);
	ck_assert_mem_eq(file.bytes + first + LOW_SIZE, high + PAGE, PAGE);
	/* And what is not memory is little. */
	ck_assert_uint_lt(file.len, LOW_SIZE + 3 * PAGE);
}
END_TEST

/* Who maps the pages does not read them: damage in them is not found then, all other is. */
START_TEST(damage_of_what_is_mapped)
{
	memset(low, 0x5a, LOW_SIZE);
	add_usual();
	save();
	size_t in_ram = PAGE + PAGE + 17, before = 100, after = file.len - 5;
	for (unsigned int i = 0; i < 2; i++) {
		lazily = i == 1;
		ck_assert_int_eq(load(), 0);
		file.bytes[in_ram] ^= 1;
		ck_assert_int_eq(load(), lazily ? 0 : -EINVAL);
		file.bytes[in_ram] ^= 1;
		file.bytes[before] ^= 1;
		ck_assert_int_eq(load(), -EINVAL);
		file.bytes[before] ^= 1;
		file.bytes[after] ^= 1;
		ck_assert_int_eq(load(), -EINVAL);
		file.bytes[after] ^= 1;
	}
	size_t len = file.len;
	file.len = 3 * PAGE;
	fails("cut short");
	file.len = len;
}
END_TEST

START_TEST(every_truncation_is_found)
{
	low[0] = low[2 * PAGE] = 1;
	add(LOW, 3);
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
	add(LOW, 3);
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
	save_pages();
	ck_assert_int_eq(snapshot_write(&writer, SNAPSHOT_CPU, 3, "cpu", 3), 0);
	writer.pages++;
	ck_assert_int_eq(snapshot_end(&writer), 0);
	fails("sections are missing");
}
END_TEST

START_TEST(another_version_is_refused)
{
	save();
	file.bytes[8] = 3;
	uint32_t seal = snapshot_checksum(0, file.bytes, SNAPSHOT_HEAD - 4);
	struct record head = {file.bytes, SNAPSHOT_HEAD, SNAPSHOT_HEAD - 4, false};
	record_u32(&head, seal);
	fails("version 3, and this ebb reads version 4");
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

/* One is skipped, which is the control. */
START_TEST(fillers_without_end_are_refused)
{
	ck_assert_int_eq(snapshot_begin(&writer), 0);
	ck_assert_int_eq(snapshot_write(&writer, SNAPSHOT_FILLER, 0, NULL, 0), 0);
	ck_assert_int_eq(snapshot_write(&writer, SNAPSHOT_MACHINE, 0, "machine", 7), 0);
	ck_assert_int_eq(snapshot_write(&writer, SNAPSHOT_FILLER, 0, NULL, 0), 0);
	fails("cut short");
	ck_assert_int_eq(snapshot_write(&writer, SNAPSHOT_FILLER, 0, NULL, 0), 0);
	fails("two fillers");
}
END_TEST

START_TEST(another_file_is_refused)
{
	memset(low, 'x', PAGE);
	file_write(&file, low, PAGE);
	fails("no snapshot");
}
END_TEST

/* A list of memory as a stranger would make it, with right checksums, and @count pages after it. */
static void forge(unsigned int runs, uint64_t count, const struct gpa_range *run)
{
	static uint8_t payload[SNAPSHOT_PAYLOAD_MAX];
	struct record list = {payload, sizeof(payload), 0, false};

	record_u32(&list, runs);
	record_u64(&list, count);
	for (unsigned int i = 0; i < 2; i++) {
		record_u64(&list, run[i].gpa);
		record_u64(&list, run[i].len);
	}
	file.len = 0;
	writer = (struct snapshot_writer){.write = file_write, .ctx = &file};
	snapshot_begin(&writer);
	snapshot_write(&writer, SNAPSHOT_MACHINE, 0, "machine", 7);
	snapshot_write(&writer, SNAPSHOT_MEMORY, 0, payload, list.len);
	snapshot_align(&writer);
	snapshot_write_head(&writer, SNAPSHOT_PAGES, 0, 2 * PAGE, 0);
	snapshot_pages_write(&writer, low, 2);
	snapshot_write(&writer, SNAPSHOT_CPU, 3, "cpu", 3);
	snapshot_end(&writer);
}

START_TEST(forged_memory_is_refused)
{
	const struct gpa_range good[2] = {{LOW, 1}, {HIGH, 1}};
	const struct gpa_range bad[][2] = {
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
		{{LOW, (UINT64_MAX / PAGE + 1) / 2}, {HIGH, 1}},
	};
	for (unsigned int i = 0; i < 2; i++) {
		lazily = i == 1;
		forge(2, 2, good);
		ck_assert_int_eq(load(), 0);
		for (size_t n = 0; n < sizeof(bad) / sizeof(bad[0]); n++) {
			forge(2, 2, bad[n]);
			ck_assert_msg(load() == -EINVAL, "case %zu", n);
		}
		forge(2, 3, good);
		fails("malformed");
		forge(1, 1, good);
		fails("malformed");
		forge(3, 2, good);
		fails("has none");
		forge(UINT32_MAX, 2, good);
		fails("too many pieces");
	}
}
END_TEST

/* The list is right, and what follows it is not: nothing, other pages, or they begin elsewhere. */
START_TEST(pages_elsewhere_are_refused)
{
	add(LOW, 2);
	snapshot_begin(&writer);
	snapshot_write(&writer, SNAPSHOT_MACHINE, 0, "machine", 7);
	snapshot_memory_write(&writer, &memory);
	size_t head = file.len - SNAPSHOT_SECTION;

	file.bytes[head + 9] ^= 0x10; /* the length */
	seal_again(head, SNAPSHOT_SECTION);
	fails("not where its list says");
	file.bytes[head + 9] ^= 0x10;
	file.bytes[head + 16] = 1; /* the checksum, which pages have at the end */
	seal_again(head, SNAPSHOT_SECTION);
	fails("not where its list says");
	file.bytes[head + 16] = 0;
	file.bytes[head] = SNAPSHOT_SERIAL;
	seal_again(head, SNAPSHOT_SECTION);
	fails("not where its list says");

	file.len = 0;
	writer = (struct snapshot_writer){.write = file_write, .ctx = &file};
	snapshot_begin(&writer);
	snapshot_write(&writer, SNAPSHOT_MACHINE, 0, "machine!", 7);
	uint8_t list[28];
	struct record record = {list, sizeof(list), 0, false};
	record_u32(&record, 1);
	record_u64(&record, 2);
	record_u64(&record, LOW);
	record_u64(&record, 2);
	snapshot_write(&writer, SNAPSHOT_MEMORY, 0, list, sizeof(list));
	snapshot_write_head(&writer, SNAPSHOT_PAGES, 0, 2 * PAGE, 0);
	fails("not where its list says");
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
	ck_assert_int_eq(snapshot_memory_write(&writer, &memory), -ENOSPC);
	ck_assert_int_eq(snapshot_pages_write(&writer, low, 1), -ENOSPC);
	ck_assert_int_eq(snapshot_end(&writer), -ENOSPC);
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

Suite *snapshot_suite(void);
Suite *snapshot_suite(void)
{
	Suite *suite = suite_create("snapshot");
	TCase *tcase = tcase_create("format");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, all_comes_back);
	tcase_add_test(tcase, zeros_are_left_alone);
	tcase_add_test(tcase, pages_can_be_mapped);
	tcase_add_test(tcase, damage_of_what_is_mapped);
	tcase_add_test(tcase, every_truncation_is_found);
	tcase_add_test(tcase, every_flipped_bit_is_found);
	tcase_add_test(tcase, more_at_the_end_is_found);
	tcase_add_test(tcase, lost_and_doubled_sections_are_found);
	tcase_add_test(tcase, the_end_counts);
	tcase_add_test(tcase, another_version_is_refused);
	tcase_add_test(tcase, another_file_is_refused);
	tcase_add_test(tcase, what_is_not_known_is_refused);
	tcase_add_test(tcase, filler_of_something_is_refused);
	tcase_add_test(tcase, fillers_without_end_are_refused);
	tcase_add_test(tcase, forged_memory_is_refused);
	tcase_add_test(tcase, pages_elsewhere_are_refused);
	tcase_add_test(tcase, a_long_section_is_refused);
	tcase_add_test(tcase, the_first_error_stays);
	tcase_add_test(tcase, the_checksum_is_crc32c);
	suite_add_tcase(suite, tcase);
	return suite;
}
