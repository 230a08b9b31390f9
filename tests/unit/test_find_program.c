// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <string.h>

#include "vmm/lib/find_program.h"

static char path[PATH_MAX];

START_TEST(first_in_order)
{
	ck_assert(find_program("/nonesuch:/bin:/usr/bin", "sh", path));
	ck_assert_str_eq(path, "/bin/sh");
	ck_assert(find_program("/usr/bin:/bin", "sh", path));
	ck_assert_str_eq(path, "/usr/bin/sh");
}
END_TEST

START_TEST(none)
{
	ck_assert(!find_program(NULL, "sh", path));
	ck_assert(!find_program("", "sh", path));
	ck_assert(!find_program("/nonesuch", "sh", path));
	ck_assert(!find_program("/bin", "nonesuch", path));
	/* It is there, and cannot be executed. */
	ck_assert(!find_program("/etc", "passwd", path));
}
END_TEST

/* An empty folder is not "/", and what does not fit is not cut. */
START_TEST(odd_lists)
{
	static char dirs[PATH_MAX + 16];

	ck_assert(!find_program("::", "bin/sh", path));
	ck_assert(find_program(":::/bin:", "sh", path));
	ck_assert_str_eq(path, "/bin/sh");
	memset(dirs, '/', PATH_MAX);
	strcpy(dirs + PATH_MAX, ":/bin");
	ck_assert(find_program(dirs, "sh", path));
	ck_assert_str_eq(path, "/bin/sh");
}
END_TEST

Suite *find_program_suite(void);
Suite *find_program_suite(void)
{
	Suite *suite = suite_create("find_program");
	TCase *tcase = tcase_create("all");
	tcase_add_test(tcase, first_in_order);
	tcase_add_test(tcase, none);
	tcase_add_test(tcase, odd_lists);
	suite_add_tcase(suite, tcase);
	return suite;
}
