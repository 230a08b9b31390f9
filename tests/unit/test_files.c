// SPDX-License-Identifier: Apache-2.0
/* What `ebb sandbox` shows its guest of the host's files. */
#include <check.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/unit/runtime_dir.h"
#include "vmm/agent/files.h"

START_TEST(parts)
{
	struct files *files = calloc(1, sizeof(*files));
	const struct bind *part;
	unsigned int dirs = 0, system = 0;

	ck_assert_int_eq(files_add(files, "/usr", FILES_WRITABLE), 0);
	ck_assert_int_eq(files_add(files, "/var", FILES_LAYERED), 0);
	ck_assert_int_eq(files_add(files, "/nonesuch", FILES_LAYERED), -ENOENT);
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

static void add(struct files *files, const char *name, enum files_access access)
{
	char path[128];

	snprintf(path, sizeof(path), "%s%s", top, name);
	ck_assert_int_eq(files_add(files, path, access), 0);
}

/* Where each of these is, in the order of the parts behind the system's own. */
START_TEST(nested)
{
	static const char *const folders[] = {"/a", "/a/b", "/a/c", "/a/c/d", "/e"};
	static const struct {
		const char *source, *at;
		bool read_only;
	} want[] = {
		{"/a", "dirs/0", false},      {"/a/b", "dirs/1", false},
		{"/a/c", "dirs/2", true},     {"/a/c/d", "dirs/3", true},
		{"/e", "dirs/4", true},	      {"/a/b", "dirs/0/b", false},
		{"/a/c", "dirs/0/c", true},   {"/a/c/d", "dirs/0/c/d", true},
		{"/a/c/d", "dirs/2/d", true},
	};
	struct files *files = calloc(1, sizeof(*files));
	const struct bind *part = files->part;
	char path[128];

	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", top, folders[i]);
		ck_assert_int_eq(mkdir(path, 0755), 0);
	}
	add(files, "/a/c/d", FILES_READ_ONLY);
	add(files, "/a/c", FILES_LAYERED);
	add(files, "/e", FILES_LAYERED);
	add(files, "/a", FILES_WRITABLE);
	add(files, "/a/b", FILES_WRITABLE);
	/* Once more: the layer gives way, and nothing else does. */
	add(files, "/e", FILES_READ_ONLY);
	add(files, "/e/.", FILES_LAYERED);
	add(files, "/a/.", FILES_WRITABLE);
	add(files, "/a", FILES_LAYERED);
	ck_assert_int_eq(files_add(files, path, FILES_WRITABLE), -EEXIST);
	ck_assert_int_eq(files_add(files, "/", FILES_LAYERED), -EISDIR);
	ck_assert_int_eq(files_finish(files), 0);
	while (part->optional)
		part++;
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++, part++) {
		ck_assert_int_eq(strncmp(part->source, top, strlen(top)), 0);
		ck_assert_str_eq(part->source + strlen(top), want[i].source);
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
	suite_add_tcase(suite, tc);
	tc = tcase_create("nested");
	tcase_add_checked_fixture(tc, runtime_dir_setup, runtime_dir_teardown);
	tcase_add_test(tc, nested);
	suite_add_tcase(suite, tc);
	return suite;
}
