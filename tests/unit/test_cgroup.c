// SPDX-License-Identifier: Apache-2.0
/* What is written to a cgroup's files, and read from them. tests/e2e/test_cgroup.py has a kernel's. */
#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/said.h"
#include "vmm/cgroup/cgroup.h"
#include "vmm/lib/own_cgroup.h"

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

/* Only of version 2, and in this namespace. */
START_TEST(test_own)
{
	static const char *const cases[][2] = {{"0::/a/b\n", "/a/b"},
					       {"4:memory:/old\n0::/\n", "/"},
					       {"0::/a\n4:memory:/old\n", "/a"},
					       {"4:memory:/old\n", NULL},
					       {"10::/a\n", NULL},
					       {"0::/../b\n", NULL},
					       {"", NULL}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[32];
		strcpy(text, cases[i][0]);
		const char *own = own_cgroup(text);
		ck_assert_pstr_eq(own, cases[i][1]);
	}
}
END_TEST

/* Nothing is made in a folder that is no cgroup. */
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

static void put(int dir, const char *file, const char *text)
{
	int fd = openat(dir, file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

/* What systemd has set, or has not. The control comes first. */
START_TEST(test_scope)
{
	static const struct {
		const char *file, *text;
	} good[] = {{"memory.max", "12345344\n"},
		    {"memory.swap.max", "12345344\n"},
		    {"pids.max", "4096\n"},
		    {"cpu.max", "75000 50000\n"}},
	  bad[] = {{"memory.max", "max\n"},	   {"memory.max", "12345679\n"},
		   {"memory.swap.max", "max\n"},   {"pids.max", "max\n"},
		   {"pids.max", "4097\n"},	   {"cpu.max", "max 100000\n"},
		   {"cpu.max", "150001 100000\n"}, {"memory.max", ""}};
	const struct cgroup_limits limits = {.memory = 12345678, .cpu = 150},
				   no_cpu = {.memory = 12345678};
	char path[] = "/tmp/ebb-test-cgroup-XXXXXX";

	ck_assert_ptr_nonnull(mkdtemp(path));
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < 4; i++)
		put(dir, good[i].file, good[i].text);
	ck_assert_ptr_null(cgroup_lacks(dir, &limits));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put(dir, bad[i].file, bad[i].text);
		const char *file = cgroup_lacks(dir, &limits);
		ck_assert_ptr_nonnull(file);
		ck_assert_str_eq(file, bad[i].file);
		for (size_t n = 0; n < 4; n++)
			put(dir, good[n].file, good[n].text);
	}
	for (size_t i = 0; i < 4; i++) {
		unlinkat(dir, good[i].file, 0);
		const char *file = cgroup_lacks(dir, &limits);
		/* A kernel without swap. */
		if (i == 1)
			ck_assert_ptr_null(file);
		else
			ck_assert_str_eq(file, good[i].file);
		if (i == 3)
			ck_assert_ptr_null(cgroup_lacks(dir, &no_cpu));
		put(dir, good[i].file, good[i].text);
	}
	for (size_t i = 0; i < 4; i++)
		unlinkat(dir, good[i].file, 0);
	close(dir);
	rmdir(path);
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
	tcase_add_test(tests, test_scope);
	suite_add_tcase(suite, tests);
	return suite;
}
