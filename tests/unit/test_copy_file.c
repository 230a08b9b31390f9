// SPDX-License-Identifier: Apache-2.0
/* A copy of a file: its data, its size, its holes; and what keeps it from being one. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/lib/copy_file.h"

#define MIB  ((off_t)1 << 20)
#define SIZE (64 * MIB + 512)

static int asked, stops_at;

static bool goes_on(void *ctx)
{
	(void)ctx;
	return ++asked != stops_at;
}

/* On the disk that tests are built on, not in memory. */
static int new_file(const char *folder)
{
	int fd = folder ? open(folder, O_TMPFILE | O_RDWR, 0600) : memfd_create("copy", 0);
	ck_assert_int_ge(fd, 0);
	return fd;
}

static void put(int fd, const char *text, off_t at)
{
	ck_assert_int_eq(pwrite(fd, text, strlen(text), at), (ssize_t)strlen(text));
}

static void ck_has(int fd, const char *text, off_t at)
{
	char found[64] = "";
	ck_assert_int_eq(pread(fd, found, strlen(text), at), (ssize_t)strlen(text));
	ck_assert_str_eq(found, text);
}

static int make_original(const char *folder)
{
	int fd = new_file(folder);

	ck_assert_int_eq(ftruncate(fd, SIZE), 0);
	put(fd, "first", 4096);
	put(fd, "second", 32 * MIB + 7);
	put(fd, "last", SIZE - 4);
	return fd;
}

static void ck_is_copy(int fd)
{
	struct stat st;

	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(st.st_size, SIZE);
	ck_assert_int_lt(st.st_blocks * 512, MIB);
	ck_has(fd, "first", 4096);
	ck_has(fd, "second", 32 * MIB + 7);
	ck_has(fd, "last", SIZE - 4);
}

/* Within a file system, and from one to another, where the kernel may not copy by itself. */
START_TEST(all_of_it)
{
	static const char *const folders[] = {".", NULL};

	for (int i = 0; i < 4; i++) {
		struct copy_file copy = {make_original(folders[i / 2]),
					 new_file(folders[i % 2]),
					 goes_on,
					 NULL,
					 false,
					 1};
		ck_assert_int_eq(copy_file(&copy), 0);
		ck_is_copy(copy.to);
		/* Of the holes nothing was read. */
		ck_assert_uint_lt(copy.bytes, MIB);
		ck_assert(copy.shares == (copy.bytes == 0));
		/* They are two files. */
		put(copy.from, "later", 4096);
		ck_has(copy.to, "first", 4096);
		close(copy.from);
		close(copy.to);
	}
}
END_TEST

START_TEST(it_can_be_ended)
{
	struct copy_file copy = {make_original(NULL), new_file(NULL), goes_on, NULL, false, 0};

	asked = 0;
	stops_at = 2;
	ck_assert_int_eq(copy_file(&copy), copy.shares ? 0 : -ECANCELED);
	stops_at = 0;
	close(copy.from);
	close(copy.to);
}
END_TEST

/* What cannot be written, or read. */
START_TEST(what_fails)
{
	struct copy_file copy = {
		make_original(NULL), open("/dev/null", O_RDONLY), goes_on, NULL, false, 0};
	ck_assert_int_lt(copy_file(&copy), 0);
	close(copy.to);
	int pipes[2];
	ck_assert_int_eq(pipe(pipes), 0);
	close(copy.from);
	copy.from = pipes[0];
	copy.to = new_file(NULL);
	ck_assert_int_eq(copy_file(&copy), -ESPIPE);
	close(pipes[0]);
	close(pipes[1]);
	close(copy.to);
}
END_TEST

static bool shorten(void *ctx)
{
	const int *fd = ctx;

	ck_assert_int_eq(ftruncate(*fd, MIB), 0);
	return true;
}

/* Behind its end it seems to have no data, as where there is a hole: the control, which ends alike, and is whole. */
START_TEST(it_becomes_shorter)
{
	struct copy_file copy = {new_file(NULL), new_file("."), shorten, &copy.from, false, 0};

	ck_assert_int_eq(ftruncate(copy.from, SIZE), 0);
	put(copy.from, "first", 4096);
	ck_assert_int_eq(copy_file(&copy), -EIO);
	ck_assert_int_eq(ftruncate(copy.from, SIZE), 0);
	copy.goes_on = goes_on;
	ck_assert_int_eq(copy_file(&copy), 0);
	close(copy.from);
	close(copy.to);
}
END_TEST

Suite *copy_file_suite(void);
Suite *copy_file_suite(void)
{
	Suite *suite = suite_create("copy_file");
	TCase *tcase = tcase_create("copy_file");

	tcase_add_test(tcase, all_of_it);
	tcase_add_test(tcase, it_can_be_ended);
	tcase_add_test(tcase, what_fails);
	tcase_add_test(tcase, it_becomes_shorter);
	suite_add_tcase(suite, tcase);
	return suite;
}
