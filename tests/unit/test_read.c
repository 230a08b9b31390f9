// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/fake_driver.h"

#define AT(n) (BLOCKS_GPA + (n))

static struct fake_driver driver;

static void setup(void)
{
	fake_driver_init(&driver);
	uint8_t *memory = fake_driver_at(&driver, BLOCKS_GPA, 256);
	for (unsigned int i = 0; i < 256; i++)
		memory[i] = i;
}

static void teardown(void)
{
	fake_driver_release(&driver);
}

/* However a chain is cut up, and in whatever pieces it is read: the same stream. */
static const struct {
	const char *name;
	unsigned int n, readable;
	struct gpa_range buffer[5];
	const char *stream;
	ssize_t last; /* what the read after the stream's end gives */
} chains[] = {
	{"one", 1, 1, {{AT(1), 4}}, "\1\2\3\4", 0},
	{"two", 2, 2, {{AT(1), 2}, {AT(9), 3}}, "\1\2\11\12\13", 0},
	{"backwards", 2, 2, {{AT(9), 3}, {AT(1), 2}}, "\11\12\13\1\2", 0},
	{"empty ones between",
	 5,
	 5,
	 {{0, 0}, {AT(1), 1}, {-1ULL, 0}, {AT(2), 1}, {0, 0}},
	 "\1\2",
	 0},
	{"writable ones after", 2, 1, {{AT(1), 2}, {AT(3), 2}}, "\1\2", 0},
	{"writable ones only", 1, 0, {{AT(1), 2}}, "", 0},
	{"not RAM", 2, 2, {{AT(1), 2}, {LOW_END, 2}}, "\1\2", -EFAULT},
	{"not RAM, far away", 1, 1, {{1ULL << 63, 0xffffffff}}, "", -EFAULT},
	{"wraps to the bottom", 1, 1, {{-4ULL, 0xffffffff}}, "", -EFAULT},
	{"wraps by a byte", 1, 1, {{-4ULL, 5}}, "", -EFAULT},
};

START_TEST(one_stream)
{
	const char *name = chains[_i].name;
	struct virtq_chain chain = {.buffers = chains[_i].n, .readable = chains[_i].readable};
	size_t length = strlen(chains[_i].stream);
	char data[16];

	memcpy(chain.buffer, chains[_i].buffer, sizeof(chains[_i].buffer));
	for (size_t piece = 1; piece <= 8; piece++) {
		struct virtq_cursor cursor = {0};
		size_t got = 0;
		ssize_t n;

		while ((n = virtq_read(&driver.ram, &chain, &cursor, data + got, piece)) > 0) {
			got += n;
			ck_assert_uint_le(got, length);
			if ((size_t)n < piece)
				break;
		}
		if (n < 0) {
			/* What went before in the same call may be lost: it is not believed. */
			ck_assert_msg(n == chains[_i].last, "%s: error %zd", name, n);
			continue;
		}
		ck_assert_msg(chains[_i].last == 0 && got == length &&
				      memcmp(data, chains[_i].stream, length) == 0,
			      "%s in pieces of %zu: %zu", name, piece, got);
		ck_assert_int_eq(virtq_read(&driver.ram, &chain, &cursor, data, piece), 0);
	}
}
END_TEST

START_TEST(the_longest_buffer)
{
	struct virtq_chain chain = {.buffers = 1, .readable = 1};
	struct virtq_cursor cursor = {0};
	const struct gpa_range span = {0, 4096 * MIB};
	static uint8_t data[MIB];
	uint64_t total = 0;
	struct ram ram;
	ssize_t n;

	chain.buffer[0] = (struct gpa_range){0, 0xffffffff};
	ck_assert_int_eq(ram_init(&ram, &(struct ram_config)RAM_CONFIG_DEFAULT, &span, 1), 0);
	/* Reading what was never written takes no memory; most of it is skipped all the same. */
	ck_assert_int_eq(virtq_read(&ram, &chain, &cursor, data, sizeof(data)), MIB);
	cursor.offset = 0xffffffff - MIB - 5;
	while ((n = virtq_read(&ram, &chain, &cursor, data, sizeof(data))) > 0)
		total += n;
	ck_assert_int_eq(n, 0);
	ck_assert_uint_eq(total, MIB + 5);
	ram_release(&ram);
}
END_TEST

Suite *read_suite(void);
Suite *read_suite(void)
{
	Suite *suite = suite_create("reading a chain");
	TCase *tcase = tcase_create("read");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, one_stream, 0, sizeof(chains) / sizeof(chains[0]));
	tcase_add_test(tcase, the_longest_buffer);
	suite_add_tcase(suite, tcase);
	return suite;
}
