// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <errno.h>

#include "vmm/lib/cpulist.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static const struct {
	const char *text;
	uint64_t first, last; /* words 0 and 63 */
	unsigned int count;
} good[] = {
	{"0", 1, 0, 1},
	{"0-3,8", 0x10f, 0, 5},
	{"0-3,2-4,4,0", 0x1f, 0, 5},
	{"5-5", 0x20, 0, 1},
	{"0-63", UINT64_MAX, 0, 64},
	{"4095", 0, UINT64_C(1) << 63, 1},
	{"0-4095", UINT64_MAX, UINT64_MAX, 4096},
	{"0-1\n", 3, 0, 2},
	{"007", 0x80, 0, 1},
};

START_TEST(test_good)
{
	struct cpulist list;
	ck_assert_int_eq(cpulist_parse(&list, good[_i].text), 0);
	ck_assert_uint_eq(list.bits[0], good[_i].first);
	ck_assert_uint_eq(list.bits[63], good[_i].last);
	ck_assert_uint_eq(list.count, good[_i].count);
	unsigned int has = 0;
	for (unsigned int i = 0; i < 2 * CPULIST_MAX; i++)
		has += cpulist_has(&list, i);
	ck_assert_uint_eq(has, list.count);
}
END_TEST

static const struct {
	const char *text;
	int err;
} bad[] = {
	{"", -EINVAL},
	{"\n", -EINVAL},
	{",", -EINVAL},
	{"1,", -EINVAL},
	{",1", -EINVAL},
	{"1,,2", -EINVAL},
	{"1-", -EINVAL},
	{"-1", -EINVAL},
	{"2-1", -EINVAL},
	{"1-2-3", -EINVAL},
	{"1 2", -EINVAL},
	{" 1", -EINVAL},
	{"+1", -EINVAL},
	{"0x1", -EINVAL},
	{"all", -EINVAL},
	{"1\n2", -EINVAL},
	{"4096", -ERANGE},
	{"1-4096", -ERANGE},
	{"1,9999", -ERANGE},
	{"1\n\n", -EINVAL},
	{"99999999999999999999", -ERANGE},
	{"0-99999999999999999999", -ERANGE},
};

START_TEST(test_bad)
{
	struct cpulist list;
	ck_assert_int_eq(cpulist_parse(&list, bad[_i].text), bad[_i].err);
	ck_assert_uint_eq(list.count, 0);
}
END_TEST

Suite *cpulist_suite(void);
Suite *cpulist_suite(void)
{
	Suite *suite = suite_create("cpulist");
	TCase *tcase = tcase_create("cpulist");
	tcase_add_loop_test(tcase, test_good, 0, COUNT(good));
	tcase_add_loop_test(tcase, test_bad, 0, COUNT(bad));
	suite_add_tcase(suite, tcase);
	return suite;
}
