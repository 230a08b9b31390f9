// SPDX-License-Identifier: Apache-2.0
/* Options of files that are the guest's memory. */
#include <check.h>

#include "tests/unit/config_words.h"

START_TEST(test_pmem)
{
	const char *const words[] = {"K", "--pmem", "/a,,b,ro", "--pmem=c", NULL};
	struct vm_config config;

	ck_assert_int_eq(config_words(&config, words), CONFIG_RUN);
	ck_assert_uint_eq(config.pmems.count, 2);
	ck_assert_str_eq(config.pmems.pmem[0].file, "/a,b");
	ck_assert(config.pmems.pmem[0].read_only);
	ck_assert_str_eq(config.pmems.pmem[1].file, "c");
	ck_assert(!config.pmems.pmem[1].read_only);
	/* It asks nothing of the guest's own memory. */
	ck_assert_int_eq(config.memory.backing, RAM_ANON);
	/* The control. */
	ck_assert_int_eq(config_words(&config, (const char *const[]){"K", NULL}), CONFIG_RUN);
	ck_assert_uint_eq(config.pmems.count, 0);
}
END_TEST

static const struct config_mistake bad[] = {
	{{"K", "--pmem", ""}, {"file name of --pmem is empty", "name the file"}},
	{{"K", "--pmem", ",ro"}, {"file name of --pmem is empty"}},
	{{"K", "--pmem", "/a,rw"}, {"\"rw\" of the pmem", "ro"}},
	{{"K", "--pmem", "/a,ro=1"}, {"ro"}},
	{{"K", "--pmem", "/a", "--pmem", "/b", "--pmem", "/c"},
	 {"\"/c\" is one too many", "can have 2"}},
};

START_TEST(test_bad)
{
	config_mistaken(&bad[_i]);
}
END_TEST

Suite *config_pmem_suite(void);
Suite *config_pmem_suite(void)
{
	Suite *suite = suite_create("config, pmem");
	TCase *tcase = tcase_create("config, pmem");
	tcase_add_test(tcase, test_pmem);
	tcase_add_loop_test(tcase, test_bad, 0, COUNT(bad));
	suite_add_tcase(suite, tcase);
	return suite;
}
