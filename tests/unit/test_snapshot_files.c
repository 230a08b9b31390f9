// SPDX-License-Identifier: Apache-2.0
/* The files of a snapshot's folder: which are opened, and when that begins anew. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/fake_chain.h"

/* What a stranger's links lead to is not open where the snapshot is read. The control: the files themselves are. */
START_TEST(links_are_not_followed)
{
	char base[SNAPSHOT_BASE_NAME];
	struct snapshot_files files;

	fc_base_name(1, base);
	for (int links = 0; links <= 1; links++) {
		const char *const names[] = {"working-set", base};
		for (unsigned int i = 0; i < 2; i++) {
			unlinkat(fc_dir, names[i], 0);
			ck_assert_int_eq(links ? symlinkat("snapshot", fc_dir, names[i])
					       : linkat(fc_dir, "snapshot", fc_dir, names[i], 0),
					 0);
		}
		ck_assert_int_eq(snapshot_files_open(&files, fc_dir), 0);
		ck_assert_int_eq(files.working_set < 0, links);
		unsigned int opened = 0;
		for (unsigned int i = 0; i < files.bases; i++)
			opened += files.base[i].fd >= 0;
		ck_assert_uint_eq(opened, files.bases - (unsigned int)links);
		snapshot_files_close(&files);
	}
	ck_assert_int_eq(renameat(fc_dir, "snapshot", fc_dir, "elsewhere"), 0);
	ck_assert_int_eq(symlinkat("elsewhere", fc_dir, "snapshot"), 0);
	ck_assert_int_eq(snapshot_files_open(&files, fc_dir), -EINVAL);
	snapshot_files_close(&files);
}
END_TEST

/* Files can be opened there, names not be read: without bases, a snapshot is. The control: else they are found. */
START_TEST(a_folder_that_shows_no_names)
{
	struct snapshot_files files;
	const bool is_root = geteuid() == 0;

	ck_assert_int_eq(snapshot_files_open(&files, fc_dir), 0);
	ck_assert_uint_eq(files.bases, 2);
	snapshot_files_close(&files);
	ck_assert_int_eq(fchmodat(fc_dir, "snapshot", 0644, 0), 0);
	ck_assert_int_eq(fchmod(fc_dir, is_root ? 0711 : 0311), 0);
	ck_assert(!is_root || seteuid(12345) == 0);
	int path = open(fc_folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int error = snapshot_files_open(&files, path);
	ck_assert(!is_root || seteuid(0) == 0);
	ck_assert_int_eq(error, 0);
	ck_assert_uint_eq(files.bases, 0);
	ck_assert_int_ge(files.snapshot, 0);
	snapshot_files_close(&files);
	close(path);
	ck_assert_int_eq(fchmod(fc_dir, 0700), 0);
}
END_TEST

/* Who may write to the folder as well adds no base to it. The control: root, or the folder's owner, does. */
START_TEST(a_base_of_another_user_is_refused)
{
	char base[SNAPSHOT_BASE_NAME];

	if (geteuid() != 0)
		return;
	fc_base_name(1, base);
	ck_assert_int_eq(fchownat(fc_dir, base, 12345, -1, 0), 0);
	fc_fails(fc_open, "is of another user than its folder");
	ck_assert_int_eq(fchown(fc_dir, 12345, -1), 0);
	ck_assert_int_eq(fc_open(), 0);
	ck_assert_int_eq(fchown(fc_dir, 0, -1), 0);
	ck_assert_int_eq(fchownat(fc_dir, base, 0, -1, 0), 0);
	ck_assert_int_eq(fc_open(), 0);
}
END_TEST

/* What a save to the folder does as soon as the snapshot there is opened. */
struct replacing {
	int opened; /* inotify's */
	const char *name, *old_base;
};

static void *replace(void *arg)
{
	const struct replacing *replacing = arg;
	char event[256];

	if (read(replacing->opened, event, sizeof(event)) <= 0 ||
	    renameat(fc_dir, replacing->name, fc_dir, "snapshot") < 0 ||
	    unlinkat(fc_dir, replacing->old_base, 0) < 0)
		abort();
	return NULL;
}

/* Opens "old", which is replaced by "new" meanwhile. Returns whether it was before its base was opened. */
static bool open_replaced(const char *old_base, const struct snapshot_id *id)
{
	char path[64];
	struct replacing replacing = {inotify_init1(IN_CLOEXEC), "next", old_base};
	pthread_t thread;

	linkat(fc_dir, "old_base", fc_dir, old_base, 0);
	linkat(fc_dir, "new", fc_dir, "next", 0);
	ck_assert_int_eq(linkat(fc_dir, "old", fc_dir, "opened", 0), 0);
	ck_assert_int_eq(renameat(fc_dir, "opened", fc_dir, "snapshot"), 0);
	snprintf(path, sizeof(path), "%s/snapshot", fc_folder);
	ck_assert_int_ge(inotify_add_watch(replacing.opened, path, IN_OPEN), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, replace, &replacing), 0);
	int error = fc_open();
	pthread_join(thread, NULL);
	close(replacing.opened);
	ck_assert_msg(error == 0, "%s", fc_chain.why);
	return memcmp(&fc_chain.layer[0]->id, id, sizeof(*id)) == 0;
}

/* Files that are named like bases, and are none: from the @first on, @count of them. */
static void add_bases(unsigned int first, unsigned int count)
{
	char name[64];

	for (unsigned int i = first; i < first + count; i++) {
		snprintf(name, sizeof(name), SNAPSHOT_BASE_PREFIX "%032x", i);
		ck_assert_int_eq(linkat(fc_dir, "snapshot", fc_dir, name, 0), 0);
	}
}

/* A reader begins anew. It has many names to look at, so that it is not the faster one each time. */
START_TEST(a_snapshot_is_replaced_meanwhile)
{
	char base[SNAPSHOT_BASE_NAME], name[16];

	for (unsigned int i = 0; i < 2; i++) {
		fc_add(&fc_made.memory, LOW, 1);
		fc_save(false, 0x10 + (int)i);
		if (i == 0)
			snapshot_base_name(&fc_made.id, base);
		fc_add(&fc_made.memory, LOW + PAGE, 1);
		fc_save(true, 0x20 + (int)i);
		ck_assert_int_eq(linkat(fc_dir, "snapshot", fc_dir, i ? "kept" : "old", 0), 0);
	}
	ck_assert_int_eq(renameat(fc_dir, "kept", fc_dir, "new"), 0);
	ck_assert_int_eq(linkat(fc_dir, base, fc_dir, "old_base", 0), 0);
	add_bases(0, SNAPSHOT_BASES_MAX / 2);
	for (unsigned int i = 0; i < 4000; i++) {
		snprintf(name, sizeof(name), "other-%u", i);
		ck_assert_int_eq(linkat(fc_dir, "snapshot", fc_dir, name, 0), 0);
	}
	for (unsigned int i = 0; i < 1000; i++)
		if (open_replaced(base, &fc_made.id))
			return;
	ck_abort_msg("it was never replaced in time");
}
END_TEST

/* What is there beside the bases that are needed is opened, and not read: so many at most. */
START_TEST(other_bases_do_no_harm)
{
	add_bases(0, SNAPSHOT_BASES_MAX - 2);
	ck_assert_int_eq(mkfifoat(fc_dir, SNAPSHOT_BASE_PREFIX "of-another-kind", 0600), 0);
	ck_assert_int_eq(fc_read(), 0);
	fc_is_restored();
	add_bases(SNAPSHOT_BASES_MAX, 1);
	fc_fails(fc_open, "too many files");
}
END_TEST

Suite *snapshot_files_suite(void);
Suite *snapshot_files_suite(void)
{
	Suite *suite = suite_create("snapshot files");
	TCase *tcase = tcase_create("files");

	tcase_add_checked_fixture(tcase, fc_setup, fc_teardown);
	tcase_add_test(tcase, links_are_not_followed);
	tcase_add_test(tcase, a_base_of_another_user_is_refused);
	tcase_add_test(tcase, a_folder_that_shows_no_names);
	tcase_add_test(tcase, a_snapshot_is_replaced_meanwhile);
	tcase_add_test(tcase, other_bases_do_no_harm);
	suite_add_tcase(suite, tcase);
	return suite;
}
