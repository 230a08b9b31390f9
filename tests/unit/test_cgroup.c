// SPDX-License-Identifier: Apache-2.0
/* What is written to a cgroup's files, and read from them. tests/e2e/test_cgroup.py has a kernel's. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/said.h"
#include "vmm/cgroup/cgroup.h"

static const char *value(const struct cgroup_setting *setting, size_t count, const char *file)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(setting[i].file, file) == 0)
			return setting[i].text;
	return NULL;
}

START_TEST(test_settings)
{
	struct cgroup_setting setting[CGROUP_SETTINGS_MAX];
	struct cgroup_limits limits = {.memory = 12345678};
	size_t count = cgroup_settings(&limits, setting);

	ck_assert_str_eq(value(setting, count, "memory.max"), "12345678");
	ck_assert_str_eq(value(setting, count, "memory.swap.max"), "12345678");
	ck_assert_str_eq(value(setting, count, "memory.oom.group"), "1");
	ck_assert_str_eq(value(setting, count, "pids.max"), "4096");
	ck_assert_ptr_null(value(setting, count, "cpu.max"));
	/* Of these a kernel without swap lacks one. */
	for (size_t i = 0; i < count; i++)
		ck_assert_int_eq(setting[i].optional,
				 strcmp(setting[i].file, "memory.swap.max") == 0);
}
END_TEST

START_TEST(test_largest)
{
	struct cgroup_setting setting[CGROUP_SETTINGS_MAX];
	struct cgroup_limits limits = {.memory = UINT64_MAX, .cpu = 1000000};
	size_t count = cgroup_settings(&limits, setting);

	ck_assert_uint_le(count, CGROUP_SETTINGS_MAX);
	ck_assert_str_eq(value(setting, count, "memory.max"), "18446744073709551615");
	ck_assert_str_eq(value(setting, count, "cpu.max"), "1000000000 100000");
	limits.cpu = 1;
	count = cgroup_settings(&limits, setting);
	ck_assert_str_eq(value(setting, count, "cpu.max"), "1000 100000");
}
END_TEST

START_TEST(test_lists)
{
	ck_assert(cgroup_has("cpuset cpu io memory pids\n", "cpu"));
	ck_assert(cgroup_has("cpuset cpu io memory pids\n", "pids"));
	ck_assert(cgroup_has("memory", "memory"));
	ck_assert(!cgroup_has("cpuset io memory\n", "cpu"));
	ck_assert(!cgroup_has("cpu\n", "cpuset"));
	ck_assert(!cgroup_has("\n", "cpu"));
	ck_assert(!cgroup_has("", "cpu"));
}
END_TEST

START_TEST(test_counts)
{
	static const char events[] = "low 0\nhigh 0\nmax 7\noom 2\noom_kill 3\noom_group_kill 1\n";

	ck_assert_uint_eq(cgroup_count(events, "oom_kill"), 3);
	ck_assert_uint_eq(cgroup_count(events, "oom"), 2);
	ck_assert_uint_eq(cgroup_count(events, "kill"), 0);
	ck_assert_uint_eq(cgroup_count("populated 1", "populated"), 1);
	ck_assert_uint_eq(cgroup_count("", "populated"), 0);
}
END_TEST

/* Nothing is made in a folder that is no cgroup. */
/* Only of version 2, and in this namespace. */
START_TEST(test_own)
{
	ck_assert_str_eq(cgroup_of("0::/a/b\n"), "/a/b\n");
	ck_assert_str_eq(cgroup_of("4:memory:/old\n0::/\n"), "/\n");
	ck_assert_ptr_null(cgroup_of("4:memory:/old\n"));
	ck_assert_ptr_null(cgroup_of("10::/a\n"));
	ck_assert_ptr_null(cgroup_of("0::/../b\n"));
	ck_assert_ptr_null(cgroup_of(""));
}
END_TEST

START_TEST(test_no_cgroup)
{
	char path[] = "/tmp/ebb-test-cgroup-XXXXXX";
	const struct cgroup_limits limits = {.memory = 1 << 20};

	ck_assert_ptr_nonnull(mkdtemp(path));
	said_begin();
	ck_assert_int_lt(cgroup_enter(path, "one", &limits), 0);
	ck_assert_ptr_nonnull(strstr(said_end(), "needs a cgroup of version 2"));
	ck_assert_int_eq(rmdir(path), 0);
	said_begin();
	ck_assert_int_lt(cgroup_enter(path, "one", &limits), 0);
	ck_assert_ptr_nonnull(strstr(said_end(), "No such file"));
}
END_TEST

Suite *cgroup_suite(void);

Suite *cgroup_suite(void)
{
	Suite *suite = suite_create("cgroup");
	TCase *tests = tcase_create("all");

	tcase_add_test(tests, test_settings);
	tcase_add_test(tests, test_largest);
	tcase_add_test(tests, test_lists);
	tcase_add_test(tests, test_counts);
	tcase_add_test(tests, test_own);
	tcase_add_test(tests, test_no_cgroup);
	suite_add_tcase(suite, tests);
	return suite;
}
