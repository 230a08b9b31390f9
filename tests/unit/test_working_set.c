// SPDX-License-Identifier: Apache-2.0
/* The list of what is read ahead: what is written is read, for the same snapshot, and nothing else is. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/snapshot/working_set.h"

#define PAGE 4096ULL
#define LOW  0x10000ULL
#define HIGH 0x100000000ULL

/* A file in memory. */
static struct {
	uint8_t bytes[2 * SNAPSHOT_PAYLOAD_MAX];
	size_t len, at;
} file;
static uint8_t low[4 * PAGE], high[2 * PAGE];
static const struct ram ram = {.region = {{LOW, sizeof(low), low}, {HIGH, sizeof(high), high}},
			       .regions = 2};
static const struct snapshot_id id = {"sixteen bytes.."};
static struct snapshot_memory memory, in;
static struct snapshot_reader reader;

static int file_write(void *ctx, const void *data, size_t len)
{
	(void)ctx;
	ck_assert_uint_le(len, sizeof(file.bytes) - file.len);
	memcpy(file.bytes + file.len, data, len);
	file.len += len;
	return 0;
}

static int file_read(void *ctx, void *data, size_t len)
{
	(void)ctx;
	len = len < file.len - file.at ? len : file.len - file.at;
	memcpy(data, file.bytes + file.at, len);
	file.at += len;
	return (int)len;
}

static void add(uint64_t gpa, uint64_t pages)
{
	memory.run[memory.runs++] = (struct gpa_range){gpa, pages * PAGE};
	memory.pages += pages;
}

static void save(void)
{
	struct snapshot_writer writer = {.write = file_write};

	file.len = 0;
	ck_assert_int_eq(snapshot_working_set_write(&writer, &id, &memory), 0);
}

static int load(const struct snapshot_id *of)
{
	file.at = 0;
	reader = (struct snapshot_reader){.read = file_read};
	int error = snapshot_working_set_read(&reader, of, &ram, &in);
	ck_assert_int_eq(error == 0, reader.why[0] == '\0');
	return error;
}

static void fails(const char *why)
{
	ck_assert_int_eq(load(&id), -EINVAL);
	ck_assert_msg(strstr(reader.why, why), "\"%s\" instead of \"%s\"", reader.why, why);
}

static void setup(void)
{
	memory = (struct snapshot_memory){0};
	add(LOW + PAGE, 2);
	add(HIGH, 1);
	save();
}

START_TEST(all_comes_back)
{
	ck_assert_int_eq(load(&id), 0);
	ck_assert_uint_eq(in.runs, 2);
	ck_assert_uint_eq(in.pages, 3);
	ck_assert_mem_eq(in.run, memory.run, 2 * sizeof(in.run[0]));
}
END_TEST

START_TEST(the_longest_comes_back)
{
	static uint8_t much[2 * SNAPSHOT_RUNS_MAX];
	/* Nothing is read from there. */
	const struct ram large = {.region = {{LOW, sizeof(much) * PAGE, much}}, .regions = 1};

	memory = (struct snapshot_memory){0};
	for (unsigned int i = 0; i < SNAPSHOT_RUNS_MAX; i++)
		add(LOW + 2 * i * PAGE, 1);
	save();
	file.at = 0;
	reader = (struct snapshot_reader){.read = file_read};
	ck_assert_int_eq(snapshot_working_set_read(&reader, &id, &large, &in), 0);
	ck_assert_uint_eq(in.runs, SNAPSHOT_RUNS_MAX);
}
END_TEST

START_TEST(another_snapshots_is_refused)
{
	const struct snapshot_id other = {"sixteen bytes.,"};

	ck_assert_int_eq(load(&other), -EINVAL);
	ck_assert_ptr_nonnull(strstr(reader.why, "of another snapshot"));
}
END_TEST

START_TEST(every_truncation_is_found)
{
	size_t whole = file.len;

	for (file.len = 0; file.len < whole; file.len++)
		fails("cut short");
}
END_TEST

START_TEST(every_flipped_bit_is_found)
{
	for (size_t bit = 0; bit < 8 * file.len; bit++) {
		file.bytes[bit / 8] ^= 1 << bit % 8;
		ck_assert_msg(load(&id) == -EINVAL, "bit %zu", bit);
		file.bytes[bit / 8] ^= 1 << bit % 8;
	}
	ck_assert_int_eq(load(&id), 0);
}
END_TEST

START_TEST(more_is_found)
{
	struct snapshot_writer writer = {.write = file_write};

	file_write(NULL, "", 1);
	fails("goes on after its end");
	file.len = 0;
	snapshot_begin(&writer);
	snapshot_write(&writer, SNAPSHOT_MACHINE, 0, "machine", 7);
	snapshot_end(&writer);
	fails("no working set");
}
END_TEST

/* With right checksums, as a stranger would make it. */
START_TEST(forged_memory_is_refused)
{
	static const struct gpa_range forged[] = {{LOW - PAGE, 1},   {LOW, 5}, {HIGH + 2 * PAGE, 1},
						  {LOW + 1, 1},	     {LOW, 0}, {LOW, 1ULL << 52},
						  {HIGH, 1ULL << 51}};

	memory = (struct snapshot_memory){0};
	add(forged[_i].gpa, forged[_i].len);
	save();
	fails("where the guest has none");
	/* The control: pages that it has. */
	memory = (struct snapshot_memory){0};
	add(LOW, 4);
	save();
	ck_assert_int_eq(load(&id), 0);
	/* One page twice. */
	add(LOW + 3 * PAGE, 1);
	save();
	fails("where the guest has none");
}
END_TEST

Suite *working_set_suite(void);
Suite *working_set_suite(void)
{
	Suite *suite = suite_create("working_set");
	TCase *tcase = tcase_create("format");

	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_add_test(tcase, all_comes_back);
	tcase_add_test(tcase, the_longest_comes_back);
	tcase_add_test(tcase, another_snapshots_is_refused);
	tcase_add_test(tcase, every_truncation_is_found);
	tcase_add_test(tcase, every_flipped_bit_is_found);
	tcase_add_test(tcase, more_is_found);
	tcase_add_loop_test(tcase, forged_memory_is_refused, 0, 7);
	suite_add_tcase(suite, tcase);
	return suite;
}
