// SPDX-License-Identifier: Apache-2.0
/* Records: what is written is read. */
#include <check.h>

#include "vmm/lib/record.h"

START_TEST(fields)
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

Suite *record_suite(void);
Suite *record_suite(void)
{
	Suite *suite = suite_create("record");
	TCase *tcase = tcase_create("record");

	tcase_add_test(tcase, fields);
	suite_add_tcase(suite, tcase);
	return suite;
}
