// SPDX-License-Identifier: Apache-2.0
/* Who may have an image together with QEMU's guests. tests/e2e/test_disk.py asks QEMU itself. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

#include "vmm/lib/image_lock.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))
#define BYTES	     8

static char path[64];
static int theirs, ours;

static void setup(void)
{
	snprintf(path, sizeof(path), "/tmp/ebb-lock-XXXXXX");
	theirs = mkstemp(path);
	ck_assert_int_ge(theirs, 0);
}

static void teardown(void)
{
	close(theirs);
	unlink(path);
}

static int take(int fd, short type, off_t start, off_t len)
{
	struct flock range = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
	return fcntl(fd, F_OFD_SETLK, &range) ? -errno : 0;
}

/* Opens the image as a disk does, and locks it. */
static int lock(bool read_only)
{
	ours = open(path, read_only ? O_RDONLY : O_RDWR);
	ck_assert_int_ge(ours, 0);
	return image_lock(ours, read_only);
}

/* As seen with QEMU 7.2: the offsets that it locks. */
static const struct {
	const char *who;
	off_t bytes[6];
	int reader, writer; /* what then comes of ours */
} qemus[] = {
	{"nobody", {0}, 0, 0},
	{"a reader", {100, 201}, 0, -EAGAIN},
	{"a writer", {100, 101, 201}, -EAGAIN, -EAGAIN},
	{"a writer that shares writing (share-rw=on)", {100, 101}, -EAGAIN, -EAGAIN},
	{"qemu-img resize", {100, 101, 103, 201, 203}, -EAGAIN, -EAGAIN},
	{"a look without exclusion (qemu-img info -U)", {100}, 0, 0},
	{"one that wants no readers", {200}, -EAGAIN, -EAGAIN},
};

START_TEST(test_qemu_first)
{
	for (const off_t *byte = qemus[_i].bytes; *byte; byte++)
		ck_assert_int_eq(take(theirs, F_RDLCK, *byte, 1), 0);
	for (int read_only = 0; read_only < 2; read_only++) {
		int want = read_only ? qemus[_i].reader : qemus[_i].writer;
		ck_assert_msg(lock(read_only) == want, "beside %s", qemus[_i].who);
		close(ours);
	}
}
END_TEST

/* What of it is held, by QEMU's own look: a lock of its own would be refused there. */
static bool held(off_t offset)
{
	struct flock byte = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = offset, .l_len = 1};
	ck_assert_int_eq(fcntl(theirs, F_OFD_GETLK, &byte), 0);
	return byte.l_type != F_UNLCK;
}

START_TEST(test_what_is_held)
{
	bool read_only = _i;
	ck_assert_int_eq(lock(read_only), 0);
	for (unsigned int bit = 0; bit < BYTES; bit++) {
		ck_assert_int_eq(held(100 + bit), bit == 0 || (bit == 1 && !read_only));
		ck_assert_int_eq(held(200 + bit), bit == 1 || bit == 3);
	}
	/* None of them keeps others from locking it in the same way. */
	ck_assert_int_eq(take(theirs, F_RDLCK, 0, 0), 0);
	close(ours);
	ck_assert(!held(100));
}
END_TEST

/* Somebody who does not follow the convention, and locks the whole file to write to it. */
START_TEST(test_whole_file)
{
	ck_assert_int_eq(take(theirs, F_WRLCK, 0, 0), 0);
	ck_assert_int_eq(lock(_i), -EAGAIN);
	close(ours);
	ck_assert_int_eq(take(theirs, F_UNLCK, 0, 0), 0);
	ck_assert_int_eq(lock(_i), 0);
	close(ours);
}
END_TEST

static void end_them(int number)
{
	(void)number;
	close(theirs);
}

/* As of a guest that was killed a moment ago. */
START_TEST(test_soon_let_go)
{
	const struct itimerval soon = {.it_value.tv_usec = 50000};

	signal(SIGALRM, end_them);
	ck_assert_int_eq(take(theirs, F_RDLCK, 201, 1), 0);
	ck_assert_int_eq(setitimer(ITIMER_REAL, &soon, NULL), 0);
	ck_assert_int_eq(lock(false), 0);
	theirs = open(path, O_RDWR);
	ck_assert(held(100) && held(201));
	close(ours);
}
END_TEST

/* One that is refused is in nobody's way. */
START_TEST(test_refused_holds_nothing)
{
	ck_assert_int_eq(take(theirs, F_RDLCK, 201, 1), 0);
	ck_assert_int_eq(lock(false), -EAGAIN);
	ck_assert(!held(100) && !held(101) && !held(201) && !held(203));
	close(ours);
}
END_TEST

Suite *image_lock_suite(void);
Suite *image_lock_suite(void)
{
	Suite *suite = suite_create("image lock");
	TCase *tcase = tcase_create("lock");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, test_qemu_first, 0, COUNT(qemus));
	tcase_add_loop_test(tcase, test_what_is_held, 0, 2);
	tcase_add_loop_test(tcase, test_whole_file, 0, 2);
	tcase_add_test(tcase, test_soon_let_go);
	tcase_add_test(tcase, test_refused_holds_nothing);
	suite_add_tcase(suite, tcase);
	return suite;
}
