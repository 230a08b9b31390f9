// SPDX-License-Identifier: Apache-2.0
/* A snapshot's file that is begun again: its name goes to what is written then, also where a file cannot be without a name. */
#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/cmd/snapshot_file.h"

#define UNFINISHED SNAPSHOT_FILE ".unfinished"

static char folder[32];
static struct snapshot_file file;

static void setup(void)
{
	strcpy(folder, "/tmp/ebb-unit-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	file = (struct snapshot_file){.folder = folder, .name = SNAPSHOT_FILE, .dir = -1, .fd = -1};
	ck_assert_int_eq(snapshot_file_begin(&file), 0);
}

static void teardown(void)
{
	int dir = open(folder, O_RDONLY | O_DIRECTORY);

	unlinkat(dir, SNAPSHOT_FILE, 0);
	close(dir);
	ck_assert_int_eq(rmdir(folder), 0);
}

/* As it is begun where no file can be without a name. */
static void have_a_name(void)
{
	close(file.fd);
	file.fd = openat(file.dir, UNFINISHED, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	ck_assert_int_ge(file.fd, 0);
	file.named = true;
}

static void put(const char *text)
{
	ck_assert_int_eq(snapshot_file_put(&file, text, strlen(text)), 0);
	ck_assert_int_eq(snapshot_file_write_rest(&file), 0);
}

static void ck_has(int fd, const char *text)
{
	char found[64] = "";

	ck_assert_int_ge(pread(fd, found, sizeof(found) - 1, 0), 0);
	ck_assert_str_eq(found, text);
}

static const char *const came = "what came, in no order", *const settled = "what is in order now";

/* With a name or without, the first. What came can be read until it is closed. */
START_TEST(the_second_gets_the_name)
{
	if (_i)
		have_a_name();
	put(came);
	int before = snapshot_file_again(&file);
	ck_assert_int_ge(before, 0);
	ck_has(before, came);
	put(settled);
	ck_assert_int_eq(snapshot_file_publish(&file), 0);
	int fd = openat(file.dir, SNAPSHOT_FILE, O_RDONLY);
	ck_has(fd, settled);
	close(fd);
	close(before);
	snapshot_file_end(&file, true);
}
END_TEST

/* It fails before, or afterwards. (That it is empty: teardown.) */
START_TEST(nothing_is_left_of_both)
{
	have_a_name();
	put(came);
	if (_i)
		close(snapshot_file_again(&file));
	snapshot_file_end(&file, false);
}
END_TEST

Suite *snapshot_file_suite(void);
Suite *snapshot_file_suite(void)
{
	Suite *suite = suite_create("snapshot_file");
	TCase *tcase = tcase_create("snapshot_file");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, the_second_gets_the_name, 0, 2);
	tcase_add_loop_test(tcase, nothing_is_left_of_both, 0, 2);
	suite_add_tcase(suite, tcase);
	return suite;
}
