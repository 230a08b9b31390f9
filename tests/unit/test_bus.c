// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <errno.h>
#include <string.h>

#include "devices/bus.h"
#include "tests/unit/said.h"

/* What a handler last saw. */
struct seen {
	unsigned int reads, writes;
	uint64_t offset;
	unsigned int len;
	uint32_t value;
};

static void on_read(void *ctx, uint64_t offset, void *data, unsigned int len)
{
	struct seen *seen = ctx;
	seen->reads++;
	seen->offset = offset;
	seen->len = len;
	memset(data, 0x5a, len);
}

static void on_write(void *ctx, uint64_t offset, const void *data, unsigned int len)
{
	struct seen *seen = ctx;
	seen->writes++;
	seen->offset = offset;
	seen->len = len;
	memcpy(&seen->value, data, len);
}

/* Says a line if it fails, and nothing else. */
static int add_range(struct bus *bus, const struct bus_range *range)
{
	said_begin();
	int error = bus_add(bus, range);
	const char *said = said_end();
	if (error)
		ck_assert_ptr_eq(strchr(said, '\n'), said + strlen(said) - 1);
	else
		ck_assert_str_eq(said, "");
	return error;
}

static int add(struct bus *bus, uint64_t base, uint64_t size, struct seen *seen)
{
	return add_range(bus, &(struct bus_range){base, size, seen, on_read, on_write});
}

static uint32_t read32(const struct bus *bus, uint64_t address)
{
	uint32_t value = 0;
	bus_read(bus, address, &value, sizeof(value));
	return value;
}

START_TEST(test_edges)
{
	struct bus bus = {0};
	struct seen low = {0}, high = {0};
	/* Added from above, found all the same. */
	ck_assert_int_eq(add(&bus, 0x2000, 0x100, &high), 0);
	ck_assert_int_eq(add(&bus, 0x1000, 0x1000, &low), 0);

	ck_assert_uint_eq(read32(&bus, 0x1000), 0x5a5a5a5a);
	ck_assert_uint_eq(low.offset, 0);
	ck_assert_uint_eq(low.len, 4);
	read32(&bus, 0x1ffc);
	ck_assert_uint_eq(low.offset, 0xffc);
	ck_assert_uint_eq(low.reads, 2);
	ck_assert_uint_eq(high.reads, 0);
	read32(&bus, 0x2000);
	ck_assert_uint_eq(high.offset, 0);
	read32(&bus, 0x20fc);
	ck_assert_uint_eq(high.offset, 0xfc);
	ck_assert_uint_eq(low.reads, 2);
	ck_assert_uint_eq(high.reads, 2);

	uint32_t value = 0x12345678;
	bus_write(&bus, 0x2010, &value, sizeof(value));
	ck_assert_uint_eq(high.writes, 1);
	ck_assert_uint_eq(high.offset, 0x10);
	ck_assert_uint_eq(high.value, value);
	ck_assert_uint_eq(low.writes, 0);
}
END_TEST

/* Nobody is there, or not for all of it. */
START_TEST(test_unclaimed)
{
	struct bus bus = {0};
	struct seen seen = {0};
	uint32_t value = 0;
	static const uint64_t address[] = {0, 0xffc, 0xffd, 0x1ffd, 0x1fff, 0x2000, UINT64_MAX - 3};

	ck_assert_uint_eq(read32(&bus, 0x1000), 0xffffffff);
	ck_assert_int_eq(add(&bus, 0x1000, 0x1000, &seen), 0);
	for (size_t i = 0; i < sizeof(address) / sizeof(address[0]); i++) {
		ck_assert_uint_eq(read32(&bus, address[i]), 0xffffffff);
		bus_write(&bus, address[i], &value, sizeof(value));
	}
	ck_assert_uint_eq(seen.reads, 0);
	ck_assert_uint_eq(seen.writes, 0);
}
END_TEST

/* Across the border of two neighbours: neither sees half an access. */
START_TEST(test_crossing)
{
	struct bus bus = {0};
	struct seen low = {0}, high = {0};
	ck_assert_int_eq(add(&bus, 0x1000, 0x10, &low), 0);
	ck_assert_int_eq(add(&bus, 0x1010, 0x10, &high), 0);
	ck_assert_uint_eq(read32(&bus, 0x100e), 0xffffffff);
	ck_assert_uint_eq(low.reads + high.reads, 0);
}
END_TEST

START_TEST(test_top_of_the_address_space)
{
	struct bus bus = {0};
	struct seen seen = {0};
	ck_assert_int_eq(add(&bus, UINT64_MAX - 0xf, 0x10, &seen), 0);
	ck_assert_uint_eq(read32(&bus, UINT64_MAX - 3), 0x5a5a5a5a);
	ck_assert_uint_eq(read32(&bus, UINT64_MAX - 2), 0xffffffff);
	ck_assert_int_eq(add(&bus, UINT64_MAX, 2, &seen), -EINVAL);
	ck_assert_int_eq(add(&bus, UINT64_MAX, 1, &seen), -EEXIST);
}
END_TEST

START_TEST(test_refused)
{
	struct bus bus = {0};
	struct seen seen = {0};
	ck_assert_int_eq(add(&bus, 0x1000, 0, &seen), -EINVAL);
	ck_assert_int_eq(add_range(&bus, &(struct bus_range){0x1000, 1, &seen, NULL, on_write}),
			 -EINVAL);
	ck_assert_int_eq(add_range(&bus, &(struct bus_range){0x1000, 1, &seen, on_read, NULL}),
			 -EINVAL);

	ck_assert_int_eq(add(&bus, 0x1000, 0x100, &seen), 0);
	ck_assert_int_eq(add(&bus, 0x1000, 0x100, &seen), -EEXIST);
	ck_assert_int_eq(add(&bus, 0xfff, 2, &seen), -EEXIST);
	ck_assert_int_eq(add(&bus, 0x10ff, 1, &seen), -EEXIST);
	ck_assert_int_eq(add(&bus, 0x1080, 1, &seen), -EEXIST);
	ck_assert_int_eq(add(&bus, 0, 0x10000, &seen), -EEXIST);
	ck_assert_int_eq(add(&bus, 0xfff, 1, &seen), 0);
	ck_assert_int_eq(add(&bus, 0x1100, 1, &seen), 0);
	ck_assert_uint_eq(bus.ranges, 3);
}
END_TEST

START_TEST(test_full)
{
	struct bus bus = {0};
	struct seen seen = {0};
	for (uint64_t i = BUS_RANGES_MAX; i > 0; i--)
		ck_assert_int_eq(add(&bus, i * 16, 16, &seen), 0);
	ck_assert_int_eq(add(&bus, 0, 16, &seen), -ENOSPC);
	for (uint64_t i = 1; i <= BUS_RANGES_MAX; i++)
		ck_assert_uint_eq(read32(&bus, i * 16 + 12), 0x5a5a5a5a);
	ck_assert_uint_eq(seen.reads, BUS_RANGES_MAX);
}
END_TEST

Suite *bus_suite(void);
Suite *bus_suite(void)
{
	Suite *suite = suite_create("bus");
	TCase *tcase = tcase_create("bus");
	tcase_add_test(tcase, test_edges);
	tcase_add_test(tcase, test_unclaimed);
	tcase_add_test(tcase, test_crossing);
	tcase_add_test(tcase, test_top_of_the_address_space);
	tcase_add_test(tcase, test_refused);
	tcase_add_test(tcase, test_full);
	suite_add_tcase(suite, tcase);
	return suite;
}
