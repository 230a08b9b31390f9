// SPDX-License-Identifier: Apache-2.0
/* Disks of a guest that is saved: those that it can write to are flushed, and one that cannot be is said. */
#include <check.h>
#include <errno.h>
#include <string.h>

#include "vmm/machine/device_blk.h"
#include "vmm/machine/machine.h"

#define DISKS 3

static struct machine machine;
static struct disk disk[DISKS];
static struct why why;
static int flushed[2 * DISKS],
	failing; /* of each disk, and of its file that was opened once more */

static int count(int fd)
{
	flushed[fd]++;
	errno = EIO;
	return fd == failing ? -1 : 0;
}

static off_t size_of(int fd, off_t offset, int whence)
{
	(void)fd, (void)offset, (void)whence;
	return 4096;
}

static const struct image_calls calls = {.fdatasync = count, .lseek = size_of};

/* The second is read-only. */
static void setup(void)
{
	machine = (struct machine){.devices.count = DISKS};
	why = (struct why){""};
	failing = -1;
	for (int i = 0; i < DISKS; i++) {
		flushed[i] = flushed[DISKS + i] = 0;
		disk[i] = (struct disk){
			.device = {.kind = &device_blk, .number = (unsigned int)i},
			.blk.image = {.calls = &calls, .fd = i, .size = 4096, .read_only = i == 1},
			.again = i == 1 ? -1 : DISKS + i,
		};
		machine.devices.device[i] = &disk[i].device;
	}
}

START_TEST(those_that_can_be_written)
{
	ck_assert_int_eq(disks_flush(&machine, &why), 0);
	ck_assert_int_eq(flushed[0], 1);
	ck_assert_int_eq(flushed[1], 0);
	ck_assert_int_eq(flushed[2], 1);
}
END_TEST

/* Also if the host says it once: what was written is lost, and no later snapshot fits the disk. */
START_TEST(one_that_fails)
{
	failing = 2;
	ck_assert_int_eq(disks_flush(&machine, &why), -EIO);
	ck_assert_str_eq(why.text,
			 "what it has written to its disk 2 cannot be flushed: Input/output error");
	failing = -1;
	ck_assert_int_eq(disks_flush(&machine, &why), -EIO);
}
END_TEST

/* Also those alone that can be written. What fails is said, and left for the disk itself to find. */
START_TEST(while_the_guest_runs)
{
	ck_assert_int_eq(disks_flush_ahead(&machine, &why), 0);
	ck_assert_int_eq(flushed[0] + flushed[1] + flushed[2], 0);
	ck_assert_int_eq(flushed[DISKS], 1);
	ck_assert_int_eq(flushed[DISKS + 1], 0);
	ck_assert_int_eq(flushed[DISKS + 2], 1);
	failing = DISKS + 2;
	ck_assert_int_eq(disks_flush_ahead(&machine, &why), -EIO);
	ck_assert_str_eq(why.text,
			 "what it has written to its disk 2 cannot be flushed: Input/output error");
	ck_assert_int_eq(disk[2].blk.image.lost, 0);
}
END_TEST

Suite *disks_flush_suite(void);
Suite *disks_flush_suite(void)
{
	Suite *suite = suite_create("disks_flush");
	TCase *tcase = tcase_create("disks_flush");

	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_add_test(tcase, those_that_can_be_written);
	tcase_add_test(tcase, one_that_fails);
	tcase_add_test(tcase, while_the_guest_runs);
	suite_add_tcase(suite, tcase);
	return suite;
}
