// SPDX-License-Identifier: Apache-2.0
/* The option for sockets between guest and host. */
#include <check.h>

#include "tests/unit/config_words.h"

START_TEST(test_vsock)
{
	struct vm_config config;

	ck_assert_int_eq(config_words(&config, (const char *const[]){"K", NULL}), CONFIG_RUN);
	ck_assert(!config.vsock.wanted);
	ck_assert_int_eq(
		config_words(&config, (const char *const[]){"K", "--vsock", "/a,,b", NULL}),
		CONFIG_RUN);
	ck_assert(config.vsock.wanted);
	ck_assert_str_eq(config.vsock.path, "/a,b");
	ck_assert_uint_eq(config.vsock.cid, 3);
	ck_assert_int_eq(
		config_words(&config,
			     (const char *const[]){"K", "--vsock=v.sock,cid=4294967294", NULL}),
		CONFIG_RUN);
	ck_assert_str_eq(config.vsock.path, "v.sock");
	ck_assert_uint_eq(config.vsock.cid, UINT32_MAX - 1);
	ck_assert(!config.vsock.vhost);
}
END_TEST

START_TEST(test_vhost)
{
	struct vm_config config;

	ck_assert_int_eq(config_words(&config, (const char *const[]){"K", "--ssh", "--vsock",
								     "vhost=1,cid=9", NULL}),
			 CONFIG_RUN);
	ck_assert(config.vsock.wanted && config.vsock.vhost && config.vsock.login);
	ck_assert_uint_eq(config.vsock.cid, 9);
	ck_assert_str_eq(config.vsock.path, "");
	/* The control: a path of that name. */
	ck_assert_int_eq(
		config_words(&config, (const char *const[]){"K", "--vsock", "./vhost=1", NULL}),
		CONFIG_RUN);
	ck_assert(!config.vsock.vhost);
	ck_assert_str_eq(config.vsock.path, "./vhost=1");
}
END_TEST

START_TEST(test_ssh)
{
	struct vm_config config;

	ck_assert_int_eq(config_words(&config, (const char *const[]){"--ssh", "K", NULL}),
			 CONFIG_RUN);
	ck_assert(config.vsock.wanted && config.vsock.login && !config.vsock.key);
	ck_assert_str_eq(config.vsock.path, "");
	ck_assert_uint_eq(config.vsock.cid, 3);
	/* In any order. */
	ck_assert_int_eq(config_words(&config, (const char *const[]){"K", "--vsock=/a,cid=7",
								     "--ssh=k.pub", NULL}),
			 CONFIG_RUN);
	ck_assert_str_eq(config.vsock.path, "/a");
	ck_assert_uint_eq(config.vsock.cid, 7);
	ck_assert_str_eq(config.vsock.key, "k.pub");
	ck_assert_int_eq(config_words(&config, (const char *const[]){"K", "--ssh=k.pub",
								     "--vsock=/a", NULL}),
			 CONFIG_RUN);
	ck_assert_str_eq(config.vsock.path, "/a");
	ck_assert_uint_eq(config.vsock.cid, 3);
	ck_assert(config.vsock.login);
	ck_assert_str_eq(config.vsock.key, "k.pub");
}
END_TEST

#define LONG                                                                                       \
	"/23456789/23456789/23456789/23456789/23456789/23456789/23456789/23456789/23456789/123456"

START_TEST(test_longest)
{
	struct vm_config config;

	ck_assert_int_eq(
		config_words(&config, (const char *const[]){"K", "--vsock", LONG "8/123456", NULL}),
		CONFIG_RUN);
}
END_TEST

static const struct config_mistake bad[] = {
	{{"K", "--vsock", ""}, {"path of --vsock is empty", "name the socket"}},
	{{"K", "--vsock", ",cid=4"}, {"path of --vsock is empty", "name the socket"}},
	{{"K", "--vsock", LONG "8/1234567"}, {"has 97 bytes", "can have 96"}},
	{{"K", "--vsock", "/a,cid=2"}, {"CID must be 3 to 4294967294", "\"2\""}},
	{{"K", "--vsock", "/a,cid=4294967295"}, {"CID must be 3 to 4294967294"}},
	{{"K", "--vsock", "/a,cid="}, {"CID must be 3 to 4294967294", "\"\""}},
	{{"K", "--vsock", "/a,cid=4,cid=5"}, {"cid", "twice"}},
	{{"K", "--vsock", "/a,port=4"}, {"\"port\" of the vsock", "cid=N"}},
	{{"K", "--ssh="}, {"public key's file name is empty"}},
	{{"K", "--ssh=a", "--ssh=b"}, {"--ssh", "twice"}},
	{{"K", "--vsock", "/a", "--vsock", "/b"}, {"--vsock", "twice"}},
	{{"K", "--vsock", "vhost=1"}, {"needs a CID", "add cid=N"}},
	{{"K", "--vsock", "vhost=0,cid=4"}, {"vhost must be 1", "\"0\""}},
	{{"K", "--vsock", "vhost=1,cid=2"}, {"CID must be 3 to 4294967294", "\"2\""}},
	{{"K", "--vsock", "vhost=1,/a"}, {"\"/a\" of the vsock", "cid=N"}},
	{{"K", "--vsock", "/a,vhost=1"}, {"has no path", "leave the path out"}},
	{{"K", "--vsock", "cid=9,vhost=1"}, {"has no path", "write vhost=1 first"}},
};

START_TEST(test_bad)
{
	config_mistaken(&bad[_i]);
}
END_TEST

Suite *config_vsock_suite(void);
Suite *config_vsock_suite(void)
{
	Suite *suite = suite_create("config, vsock");
	TCase *tcase = tcase_create("config, vsock");
	tcase_add_test(tcase, test_ssh);
	tcase_add_test(tcase, test_vsock);
	tcase_add_test(tcase, test_vhost);
	tcase_add_test(tcase, test_longest);
	tcase_add_loop_test(tcase, test_bad, 0, COUNT(bad));
	suite_add_tcase(suite, tcase);
	return suite;
}
