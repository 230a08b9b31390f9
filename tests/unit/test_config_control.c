// SPDX-License-Identifier: Apache-2.0
/* The option for the control socket that only reads. */
#include <check.h>

#include "tests/unit/config_words.h"

START_TEST(test_control)
{
	struct vm_config config;

	ck_assert_int_eq(config_words(&config, (const char *const[]){"K", NULL}), CONFIG_RUN);
	ck_assert_str_eq(config.control.path, "");
	ck_assert_int_eq(config_words(&config, (const char *const[]){"K", "--control-read-only",
								     "/a,,b", NULL}),
			 CONFIG_RUN);
	ck_assert_str_eq(config.control.path, "/a,b");
	ck_assert_str_eq(config.control.group, "");
	ck_assert_int_eq(config_words(&config,
				      (const char *const[]){
					      "K", "--control-read-only=/a,group=figures", NULL}),
			 CONFIG_RUN);
	ck_assert_str_eq(config.control.path, "/a");
	ck_assert_str_eq(config.control.group, "figures");
}
END_TEST

#define LONG                                                                                       \
	"/23456789/23456789/23456789/23456789/23456789/23456789/23456789/23456789/23456789/23456789/1234567"

static const struct config_mistake bad[] = {
	{{"K", "--control-read-only", ""}, {"path of --control-read-only is empty"}},
	{{"K", "--control-read-only", ",group=a"}, {"path of --control-read-only is empty"}},
	{{"K", "--control-read-only", "/a,group="}, {"group of --control-read-only is empty"}},
	{{"K", "--control-read-only", "/a,group=" LONG}, {"has 98 bytes", "can have 64"}},
	{{"K", "--control-read-only", "/123456789" LONG}, {"has 108 bytes", "can have 107"}},
	{{"K", "--control-read-only", "/a,group=a,group=b"}, {"group", "twice"}},
	{{"K", "--control-read-only", "/a,rw"}, {"\"rw\" of the read-only socket", "group=G"}},
	{{"K", "--control-read-only", "/a", "--control-read-only", "/b"},
	 {"--control-read-only", "twice"}},
};

START_TEST(test_bad)
{
	config_mistaken(&bad[_i]);
}
END_TEST

Suite *config_control_suite(void);
Suite *config_control_suite(void)
{
	Suite *suite = suite_create("config, control");
	TCase *tcase = tcase_create("config, control");
	tcase_add_test(tcase, test_control);
	tcase_add_loop_test(tcase, test_bad, 0, COUNT(bad));
	suite_add_tcase(suite, tcase);
	return suite;
}
