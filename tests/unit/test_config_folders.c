// SPDX-License-Identifier: Apache-2.0
/* Options of the host's folders, and what they need of the guest's memory. */
#include <check.h>

#include "tests/unit/config_words.h"

START_TEST(test_folders)
{
	const char *const words[] = {"K", "--fs", "/a,,b,ro", "--fs=c,tag=docs", NULL};
	const char *const huge[] = {"K", "--fs", "/a", "--mem-backing", "hugetlbfs", NULL};
	struct vm_config config;

	ck_assert_int_eq(config_words(&config, words), CONFIG_RUN);
	ck_assert_uint_eq(config.folders.count, 2);
	ck_assert_str_eq(config.folders.folder[0].dir, "/a,b");
	ck_assert_str_eq(config.folders.folder[0].tag, "fs0");
	ck_assert(config.folders.folder[0].read_only);
	ck_assert_str_eq(config.folders.folder[1].dir, "c");
	ck_assert_str_eq(config.folders.folder[1].tag, "docs");
	ck_assert(!config.folders.folder[1].read_only);
	/* virtiofsd has to map the guest's memory; what the user chose for that stays. */
	ck_assert_int_eq(config.memory.backing, RAM_MEMFD);
	ck_assert_int_eq(config_words(&config, huge), CONFIG_RUN);
	ck_assert_int_eq(config.memory.backing, RAM_HUGETLBFS);
	/* The control. */
	ck_assert_int_eq(config_words(&config, (const char *const[]){"K", NULL}), CONFIG_RUN);
	ck_assert_uint_eq(config.folders.count, 0);
	ck_assert_int_eq(config.memory.backing, RAM_ANON);
}
END_TEST

static const struct config_mistake bad[] = {
	{{"K", "--fs", ""}, {"folder's name is empty", "name the folder"}},
	{{"K", "--fs", "/a,rw"}, {"\"rw\" of the folder", "tag=T, ro"}},
	{{"K", "--fs", "/a,tag="}, {"tag \"\"", "1 to 36 bytes"}},
	{{"K", "--fs", "/a,tag=ABCDEFGHIJKLMNOPQRSTUVWXYZ01234567890"}, {"1 to 36 bytes"}},
	{{"K", "--fs", "/a", "--fs", "/b", "--fs", "/c"}, {"\"/c\" is one too many", "can have 2"}},
	{{"K", "--fs", "/a,tag=fs1", "--fs", "/b"}, {"two folders have the tag \"fs1\""}},
	{{"K", "--fs", "/a", "--mem-backing", "anon"}, {"shared memory", "--mem-backing anon"}},
	{{"K", "--discard=free", "--fs", "/a"}, {"shared memory", "--discard free"}},
	{{"K", "--discard=free", "--fs", "/a", "--mem-backing=memfd"}, {"--mem-backing anon only"}},
};

START_TEST(test_bad)
{
	config_mistaken(&bad[_i]);
}
END_TEST

Suite *config_folders_suite(void);
Suite *config_folders_suite(void)
{
	Suite *suite = suite_create("config, folders");
	TCase *tcase = tcase_create("config, folders");
	tcase_add_test(tcase, test_folders);
	tcase_add_loop_test(tcase, test_bad, 0, COUNT(bad));
	suite_add_tcase(suite, tcase);
	return suite;
}
