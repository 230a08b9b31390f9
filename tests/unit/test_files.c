// SPDX-License-Identifier: Apache-2.0
/* What `ebb sandbox` shows its guest of the host's files. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/agent/files.h"

START_TEST(parts)
{
	struct files *files = calloc(1, sizeof(*files));
	const struct bind *part;
	unsigned int dirs = 0, system = 0;

	ck_assert_int_eq(files_add(files, "/usr", false), 0);
	ck_assert_int_eq(files_add(files, "/bin/..", true), 0);
	ck_assert_int_eq(files_add(files, "/nonesuch", true), -ENOENT);
	files_finish(files);
	for (part = files->part; part->source; part++) {
		if (strncmp(part->at, "dirs/", 5) == 0) {
			ck_assert_int_eq(part->read_only, dirs == 1);
			ck_assert_int_eq(part->at[5], (int)('0' + dirs++));
			ck_assert(!part->optional);
			continue;
		}
		/* The host's system is not written to, and nothing of it that is secret is there. */
		system++;
		ck_assert(part->read_only && part->optional);
		ck_assert_str_eq(part->at + strlen("root"), part->source);
		ck_assert_ptr_null(strstr(part->source, "shadow"));
		ck_assert_ptr_null(strstr(part->source, "private"));
		ck_assert(strcmp(part->source, "/etc") != 0 && strcmp(part->source, "/") != 0);
		ck_assert(strncmp(part->source, "/home", 5) && strncmp(part->source, "/root", 5));
	}
	ck_assert_uint_eq(dirs, 2);
	ck_assert_uint_gt(system, 10);
	while (files->dirs < FILES_DIRS_MAX)
		ck_assert_int_eq(files_add(files, "/bin/..", true), 0);
	ck_assert_int_eq(files_add(files, "/bin/..", true), -E2BIG);
	files_finish(files);
	free(files);
}
END_TEST

Suite *files_suite(void);
Suite *files_suite(void)
{
	Suite *suite = suite_create("files");
	TCase *tc = tcase_create("files");

	tcase_add_test(tc, parts);
	suite_add_tcase(suite, tc);
	return suite;
}
