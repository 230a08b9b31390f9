// SPDX-License-Identifier: Apache-2.0
/* The option for a cgroup of the guest's own. */
#include <check.h>

#include "tests/unit/config_words.h"

static struct vm_config config;

START_TEST(test_none)
{
	ck_assert_int_eq(config_words(&config, (const char *const[]){"K", NULL}), CONFIG_RUN);
	ck_assert(!config.cgroup.wanted);
}
END_TEST

/* By default, room for what a guest costs beside its RAM, in any order of options. */
START_TEST(test_memory)
{
	ck_assert_int_eq(config_words(&config, (const char *const[]){"K", "--cgroup", "/a,,b", "-m",
								     "1G", NULL}),
			 CONFIG_RUN);
	ck_assert(config.cgroup.wanted);
	ck_assert_str_eq(config.cgroup.path, "/a,b");
	ck_assert_uint_eq(config.cgroup.memory, (1024 + 16 + 256) * MIB);
	ck_assert_uint_eq(config.cgroup.cpu, 0);
}
END_TEST

START_TEST(test_all)
{
	ck_assert_int_eq(
		config_words(&config, (const char *const[]){"K", "--cgroup=x,cpu=150,memory=2G",
							    "-m", "4G", NULL}),
		CONFIG_RUN);
	ck_assert_str_eq(config.cgroup.path, "x");
	ck_assert(!config.cgroup.automatic);
	ck_assert_uint_eq(config.cgroup.memory, 2048 * MIB);
	ck_assert_uint_eq(config.cgroup.cpu, 150);
}
END_TEST

static const struct config_mistake bad[] = {
	{{"K", "--cgroup"}, {"--cgroup needs a value"}},
	{{"K", "--cgroup="}, {"the path of --cgroup is empty", "name the cgroup"}},
	{{"K", "--cgroup=,cpu=1"}, {"the path of --cgroup is empty"}},
	{{"K", "--cgroup=a,cpus=1"}, {"\"a,cpus=1\"", "The keys are memory=SIZE, cpu=N"}},
	{{"K", "--cgroup=a,cpu=0"}, {"\"0\" is no share of the CPUs", "percents of one"}},
	{{"K", "--cgroup=a,cpu=1.5"}, {"\"1.5\"", "percents of one"}},
	{{"K", "--cgroup=a,cpu=1000001"}, {"\"1000001\""}},
	{{"K", "--cgroup=a,memory=12X"}, {"the cgroup's memory", "\"12X\"", "not a size"}},
	{{"K", "--cgroup=a,memory=0"}, {"more than 0", "leave memory= out"}},
	{{"K", "--cgroup=a", "--cgroup=b"}, {"--cgroup is given twice"}},
};

START_TEST(test_mistakes)
{
	config_mistaken(&bad[_i]);
}
END_TEST

Suite *config_cgroup_suite(void);

Suite *config_cgroup_suite(void)
{
	Suite *suite = suite_create("config_cgroup");
	TCase *tests = tcase_create("all");

	tcase_add_test(tests, test_none);
	tcase_add_test(tests, test_memory);
	tcase_add_test(tests, test_all);
	tcase_add_loop_test(tests, test_mistakes, 0, COUNT(bad));
	suite_add_tcase(suite, tests);
	return suite;
}
