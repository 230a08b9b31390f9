// SPDX-License-Identifier: Apache-2.0
/* The three real-time clocks, read as their drivers read them. */
#include <check.h>
#include <time.h>

#include "devices/rtc/cmos.h"
#include "devices/rtc/goldfish.h"
#include "devices/rtc/pl031.h"

/* 1999-12-31 23:59:59, 2000-02-29 00:00:00, 2026-11-28 12:34:56, 2100-03-01 13:00:00; all UTC. */
static const int64_t times[] = {946684799, 951782400, 1795869296, 4107589200};

/* --- PL031 -------------------------------------------------------------------------------------- */

START_TEST(pl031_tells_seconds)
{
	ck_assert_uint_eq(pl031_read(0, 1795869296), 1795869296);
	ck_assert_uint_eq(pl031_read(0, UINT32_MAX), UINT32_MAX);
	ck_assert_uint_eq(pl031_read(0x0c, 7), 1); /* it runs */
	ck_assert_uint_eq(pl031_read(0x18, 7), 0); /* no alarm has come */
}
END_TEST

START_TEST(pl031_is_a_primecell)
{
	uint32_t part = 0, cell = 0;
	for (unsigned int i = 0; i < 4; i++) {
		part |= pl031_read(PL031_SIZE - 0x20 + 4 * i, 0) << 8 * i;
		cell |= pl031_read(PL031_SIZE - 0x10 + 4 * i, 0) << 8 * i;
	}
	ck_assert_uint_eq(part & 0xfffff, 0x41031); /* as rtc-pl031 matches it */
	ck_assert_uint_eq(cell, 0xb105f00d);
	for (uint64_t offset = 4; offset < PL031_SIZE; offset++)
		ck_assert_uint_le(pl031_read(offset, UINT32_MAX), 0xff);
}
END_TEST

/* --- goldfish ----------------------------------------------------------------------------------- */

START_TEST(goldfish_keeps_the_halves_together)
{
	struct goldfish clock = {0};
	/* The low half is about to wrap; the high one is read after it did. */
	uint64_t before = 0x18f1a2b3ffffffffULL;
	uint64_t low = goldfish_read(&clock, 0, before);
	uint64_t high = goldfish_read(&clock, 4, before + 1000);
	ck_assert_uint_eq(high << 32 | low, before);
	ck_assert_uint_eq(goldfish_read(&clock, 0x18, before), 0); /* the alarm is off */
	ck_assert_uint_eq(goldfish_read(&clock, 0xffc, before), 0);
}
END_TEST

/* --- CMOS --------------------------------------------------------------------------------------- */

static struct cmos cmos;

static void setup(void)
{
	cmos_init(&cmos);
}

static uint8_t get(uint8_t index, int64_t seconds)
{
	cmos_write(&cmos, 0, index);
	return cmos_read(&cmos, 1, seconds);
}

static void put(uint8_t index, uint8_t value)
{
	cmos_write(&cmos, 0, index);
	cmos_write(&cmos, 1, value);
}

static int from_bcd(uint8_t value)
{
	ck_assert_uint_le(value & 0xf, 9);
	return (value >> 4) * 10 + (value & 0xf);
}

static int plain(uint8_t value)
{
	return value;
}

static void check_time(int64_t seconds, int (*number)(uint8_t))
{
	struct tm tm = {
		.tm_sec = number(get(0, seconds)),
		.tm_min = number(get(2, seconds)),
		.tm_hour = number(get(4, seconds)),
		.tm_mday = number(get(7, seconds)),
		.tm_mon = number(get(8, seconds)) - 1,
		.tm_year =
			number(get(9, seconds)) + 100 * number(get(CMOS_CENTURY, seconds)) - 1900,
	};
	int weekday = number(get(6, seconds)) - 1;
	ck_assert_int_eq(timegm(&tm), seconds);
	ck_assert_int_eq(weekday, tm.tm_wday);
}

START_TEST(cmos_tells_the_time)
{
	ck_assert_uint_eq(get(0x0b, 0) & 0x06, 0x02); /* 24 hours, in BCD */
	check_time(times[_i], from_bcd);
	put(0x0b, 0x06);
	check_time(times[_i], plain);
}
END_TEST

START_TEST(cmos_has_twelve_hours_for_who_wants_them)
{
	put(0x0b, 0x00);
	ck_assert_uint_eq(get(4, 0), 0x12); /* midnight */
	ck_assert_uint_eq(get(4, 11 * 3600), 0x11);
	ck_assert_uint_eq(get(4, 12 * 3600), 0x92);
	ck_assert_uint_eq(get(4, 23 * 3600), 0x91);
	put(0x0b, 0x04);
	ck_assert_uint_eq(get(4, 22 * 3600), 0x8a);
}
END_TEST

START_TEST(cmos_is_always_readable)
{
	put(0x0a, 0xff);
	ck_assert_uint_eq(get(0x0a, 0) & 0x80, 0); /* no update in progress */
	put(0x0d, 0);
	ck_assert_uint_eq(get(0x0d, 0), 0x80); /* valid */
	put(0x0c, 0xff);
	ck_assert_uint_eq(get(0x0c, 0), 0); /* no interrupt */
	put(0, 0x59);
	ck_assert_uint_eq(get(0, 7), 7); /* not to be set */
	/* No time of the host's is beyond what can be told. */
	get(9, INT64_MAX);
	get(CMOS_CENTURY, INT64_MIN);
}
END_TEST

START_TEST(cmos_memory_is_bounded)
{
	for (unsigned int i = 0; i < 256; i++)
		put(i, i);
	ck_assert_uint_eq(cmos_read(&cmos, 0, 0), 0x7f); /* the highest bit is the NMI's */
	ck_assert_uint_eq(get(0x0e, 0), 0x8e);
	ck_assert_uint_eq(get(0x7f, 0), 0xff);
}
END_TEST

Suite *rtc_suite(void);
Suite *rtc_suite(void)
{
	Suite *suite = suite_create("rtc");
	TCase *tcase = tcase_create("rtc");
	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_add_test(tcase, pl031_tells_seconds);
	tcase_add_test(tcase, pl031_is_a_primecell);
	tcase_add_test(tcase, goldfish_keeps_the_halves_together);
	tcase_add_loop_test(tcase, cmos_tells_the_time, 0, sizeof(times) / sizeof(times[0]));
	tcase_add_test(tcase, cmos_has_twelve_hours_for_who_wants_them);
	tcase_add_test(tcase, cmos_is_always_readable);
	tcase_add_test(tcase, cmos_memory_is_bounded);
	suite_add_tcase(suite, tcase);
	return suite;
}
