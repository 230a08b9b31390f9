// SPDX-License-Identifier: Apache-2.0
/* What `ebb sandbox` shows its guest of the host's files. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "vmm/agent/files.h"

START_TEST(parts)
{
	struct files *files = calloc(1, sizeof(*files));
	const struct bind *part;
	unsigned int dirs = 0, system = 0;

	ck_assert_int_eq(files_add(files, "/usr", false), 0);
	ck_assert_int_eq(files_add(files, "/var", true), 0);
	ck_assert_int_eq(files_add(files, "/nonesuch", true), -ENOENT);
	ck_assert_int_eq(files_finish(files), 0);
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
	free(files);
}
END_TEST

/* Where each of these is, in the order of the parts behind the system's own. */
START_TEST(nested)
{
	static const struct {
		const char *source, *at;
		bool read_only;
	} want[] = {
		{"/usr", "dirs/0", false},
		{"/usr/bin", "dirs/1", false},
		{"/usr/lib", "dirs/2", true},
		{"/usr/lib/tmpfiles.d", "dirs/3", true},
		{"/var", "dirs/4", true},
		{"/usr/bin", "dirs/0/bin", false},
		{"/usr/lib", "dirs/0/lib", true},
		{"/usr/lib/tmpfiles.d", "dirs/0/lib/tmpfiles.d", true},
		{"/usr/lib/tmpfiles.d", "dirs/2/tmpfiles.d", true},
	};
	struct files *files = calloc(1, sizeof(*files));
	const struct bind *part = files->part;

	if (access("/usr/lib/tmpfiles.d", F_OK) < 0)
		return;
	ck_assert_int_eq(files_add(files, "/usr/lib/tmpfiles.d", true), 0);
	ck_assert_int_eq(files_add(files, "/usr/lib", true), 0);
	ck_assert_int_eq(files_add(files, "/var", false), 0);
	ck_assert_int_eq(files_add(files, "/usr", false), 0);
	ck_assert_int_eq(files_add(files, "/usr/bin", false), 0);
	/* Once more: what is read-only stays that. */
	ck_assert_int_eq(files_add(files, "/var", true), 0);
	ck_assert_int_eq(files_add(files, "/usr/lib/.", false), 0);
	ck_assert_int_eq(files_add(files, "/", true), -EISDIR);
	ck_assert_int_eq(files_finish(files), 0);
	while (part->optional)
		part++;
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++, part++) {
		ck_assert_str_eq(part->source, want[i].source);
		ck_assert_str_eq(part->at, want[i].at);
		ck_assert_int_eq(part->read_only, want[i].read_only);
	}
	ck_assert_ptr_null(part->source);
	free(files);
}
END_TEST

Suite *files_suite(void);
Suite *files_suite(void)
{
	Suite *suite = suite_create("files");
	TCase *tc = tcase_create("files");

	tcase_add_test(tc, parts);
	tcase_add_test(tc, nested);
	suite_add_tcase(suite, tc);
	return suite;
}
