// SPDX-License-Identifier: Apache-2.0
/* The disks in a snapshot's folder: which are its own, and which files are none. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/fake_chain.h"
#include "vmm/snapshot/saved_disks.h"

static struct snapshot_id id;
static int snapshot;

static void setup(void)
{
	fc_setup();
	snapshot = openat(fc_dir, "snapshot", O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(snapshot, 0);
	ck_assert_int_eq(saved_disks_id(snapshot, &id), 0);
}

static void teardown(void)
{
	close(snapshot);
	fc_teardown();
}

static void make_disk(unsigned int number, const struct snapshot_id *of)
{
	char name[SAVED_DISK_NAME];

	saved_disk_name(number, of, name);
	ck_assert(saved_disk_is_name(name));
	int fd = openat(fc_dir, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	close(fd);
}

/* Those of another snapshot are not: a save that was killed may have left them. */
START_TEST(which_are_its_own)
{
	struct snapshot_id other = id;
	struct saved_disks disks;

	other.bytes[15] ^= 1;
	make_disk(3, &other);
	ck_assert_int_eq(saved_disks_open(&disks, fc_dir, snapshot), 0);
	ck_assert_uint_eq(disks.count, 0);
	saved_disks_close(&disks);
	make_disk(0, &id);
	make_disk(15, &id);
	ck_assert_int_eq(saved_disks_open(&disks, fc_dir, snapshot), 0);
	ck_assert_uint_eq(disks.count, 2);
	for (int i = 0; i < SAVED_DISKS_MAX; i++)
		ck_assert((disks.fd[i] >= 0) == (i == 0 || i == 15));
	saved_disks_close(&disks);
	ck_assert_uint_eq(saved_disks_count(fc_folder), 2);
}
END_TEST

/* A link could have the guest read any file of the user's. The control: its target, as a file. */
START_TEST(links_are_refused)
{
	char name[SAVED_DISK_NAME];
	struct saved_disks disks;

	saved_disk_name(0, &id, name);
	ck_assert_int_eq(symlinkat("snapshot", fc_dir, name), 0);
	ck_assert_int_eq(saved_disks_open(&disks, fc_dir, snapshot), -EINVAL);
	saved_disks_close(&disks);
	ck_assert_int_eq(unlinkat(fc_dir, name, 0), 0);
	ck_assert_int_eq(linkat(fc_dir, "snapshot", fc_dir, name, 0), 0);
	ck_assert_int_eq(saved_disks_open(&disks, fc_dir, snapshot), 0);
	ck_assert_uint_eq(disks.count, 1);
	saved_disks_close(&disks);
}
END_TEST

START_TEST(names)
{
	static const struct {
		const char *name;
		bool is;
	} tried[] = {
		{"disk0-00000000000000000000000000000000", true},
		{"disk15-ffffffffffffffffffffffffffffffff", true},
		{"disk3.unfinished", true},
		{"disk3.img", false},
		{"disk", false},
		{"disk-00000000000000000000000000000000", false},
		{"disk100-00000000000000000000000000000000", false},
		{"disk0-0000000000000000000000000000000", false},
		{"disk0-000000000000000000000000000000000", false},
		{"disk0-0000000000000000000000000000000g", false},
		{"snapshot", false},
	};

	for (unsigned int i = 0; i < sizeof(tried) / sizeof(tried[0]); i++)
		ck_assert_msg(saved_disk_is_name(tried[i].name) == tried[i].is, "%s",
			      tried[i].name);
}
END_TEST

Suite *saved_disks_suite(void);
Suite *saved_disks_suite(void)
{
	Suite *suite = suite_create("saved_disks");
	TCase *tcase = tcase_create("saved_disks");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, which_are_its_own);
	tcase_add_test(tcase, links_are_refused);
	tcase_add_test(tcase, names);
	suite_add_tcase(suite, tcase);
	return suite;
}
