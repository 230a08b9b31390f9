// SPDX-License-Identifier: Apache-2.0
/* What can be a disk and what cannot, and who may have it together. What is said of it is in tests/e2e. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/virtio-blk/image.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/image_lock.h"

#define SIZE	 65536
#define LIMIT_NS (10 * NS_PER_S)

static char directory[64], path[96];
static struct image image, other;

static void setup(void)
{
	strcpy(directory, "/tmp/ebb-image-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/disk", directory);
	int fd = open(path, O_CREAT | O_RDWR, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, SIZE), 0);
	close(fd);
}

static void teardown(void)
{
	unlink(path);
	rmdir(directory);
}

START_TEST(test_file)
{
	for (int read_only = 0; read_only < 2; read_only++) {
		ck_assert_int_eq(image_open(&image, path, read_only), 0);
		ck_assert_uint_eq(image.size, SIZE);
		ck_assert_uint_eq(image.block_size, 512);
		ck_assert(!image.device);
		ck_assert_int_eq(image.read_only, read_only);
		ck_assert(!(read_only && image.discards));
		/* Or an io_uring does not wait for the file either. */
		ck_assert(!(fcntl(image.fd, F_GETFL) & O_NONBLOCK));
		struct stat st;
		fstat(image.fd, &st);
		ck_assert_uint_eq(st.st_size, SIZE);
		image_close(&image);
		ck_assert_int_eq(image.fd, -1);
	}
}
END_TEST

START_TEST(test_no_disks)
{
	char fifo[96];
	snprintf(fifo, sizeof(fifo), "%s/fifo", directory);
	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	/* A pipe that nobody writes to is not waited for. */
	ck_assert_int_eq(image_open(&image, fifo, _i), -EINVAL);
	unlink(fifo);
	ck_assert_int_eq(image_open(&image, directory, _i), -EINVAL);
	ck_assert_int_eq(image_open(&image, "/dev/null", _i), -EINVAL);
	ck_assert_int_eq(image_open(&image, "", _i), -ENOENT);
	ck_assert_int_eq(image_open(&image, "/nowhere/at/all", _i), -ENOENT);
	ck_assert_int_eq(image.fd, -1);
}
END_TEST

START_TEST(test_sizes)
{
	static const struct {
		off_t size;
		int result;
	} sizes[] = {{0, -EINVAL}, {1, -EINVAL},   {511, -EINVAL},
		     {512, 0},	   {513, -EINVAL}, {1024, 0}};
	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		ck_assert_int_eq(truncate(path, sizes[i].size), 0);
		ck_assert_int_eq(image_open(&image, path, _i), sizes[i].result);
		image_close(&image);
	}
}
END_TEST

static void put(off_t offset, const char *bytes)
{
	int fd = open(path, O_WRONLY);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, bytes, strlen(bytes), offset), (ssize_t)strlen(bytes));
	close(fd);
}

/* Another format is no raw disk, also to read only, unless it is said to be one; and stays as it is. */
START_TEST(test_formats)
{
	unsigned int flags = _i;
	put(0, "QFI\xfb");
	ck_assert_int_eq(image_open(&image, path, flags), -EINVAL);
	ck_assert_int_eq(image.fd, -1);
	ck_assert_int_eq(image_open(&image, path, flags | IMAGE_RAW), 0);
	image_close(&image);
	put(0, "raw again");
	ck_assert_int_eq(image_open(&image, path, flags), 0);
	image_close(&image);
	put(SIZE - 512, "conectix");
	ck_assert_int_eq(image_open(&image, path, flags), -EINVAL);
	/* A descriptor is shorter than a sector. */
	ck_assert_int_eq(truncate(path, 0), 0);
	put(0, "# Disk DescriptorFile\n");
	ck_assert_int_eq(image_open(&image, path, flags), -EINVAL);
}
END_TEST

/* Writers are alone, readers are not; and after each there is room again. */
START_TEST(test_locks)
{
	static const struct {
		bool first, second; /* read-only */
		int result;
	} pairs[] = {{false, false, -EAGAIN},
		     {false, true, -EAGAIN},
		     {true, false, -EAGAIN},
		     {true, true, 0}};
	for (unsigned int i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		ck_assert_int_eq(image_open(&image, path, pairs[i].first), 0);
		ck_assert_int_eq(image_open(&other, path, pairs[i].second), pairs[i].result);
		image_close(&other);
		image_close(&image);
	}
	/* By another name it is the same. */
	char name[96];
	snprintf(name, sizeof(name), "%s/other", directory);
	ck_assert_int_eq(link(path, name), 0);
	ck_assert_int_eq(image_open(&image, path, false), 0);
	ck_assert_int_eq(image_open(&other, name, false), -EAGAIN);
	image_close(&image);
	ck_assert_int_eq(image_open(&other, name, false), 0);
	image_close(&other);
	unlink(name);
}
END_TEST

/* Removes the file again and again as `ebb images --remove` does, and puts another in its place; until @ctx is set. */
static void *remove_it(void *ctx)
{
	atomic_bool *done = ctx;
	char next[96];

	snprintf(next, sizeof(next), "%s/next", directory);
	while (!*done) {
		int fd = open(path, O_RDWR | O_CLOEXEC);
		int new = open(next, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
		if (image_lock(fd, false) == 0 && ftruncate(new, SIZE) == 0)
			rename(next, path);
		close(new);
		close(fd);
	}
	unlink(next);
	return NULL;
}

/* What was opened and locked is still there, and stays: whoever would remove it finds the lock. Goes on until that matters. */
START_TEST(test_removed_meanwhile)
{
	int quiet = open("/dev/null", O_WRONLY | O_CLOEXEC);
	bool refused = false;
	atomic_bool done = false;
	pthread_t thread;
	struct stat st;

	ck_assert_int_eq(dup2(quiet, STDERR_FILENO), STDERR_FILENO);
	ck_assert_int_eq(pthread_create(&thread, NULL, remove_it, &done), 0);
	for (uint64_t end = clock_ns() + LIMIT_NS; !refused && clock_ns() < end;) {
		int error = image_open(&image, path, IMAGE_RAW);
		ck_assert(error == 0 || error == -EAGAIN || error == -ESTALE);
		refused = error == -ESTALE;
		ck_assert(error || (fstat(image.fd, &st) == 0 && st.st_nlink == 1));
		image_close(&image);
	}
	done = true;
	pthread_join(thread, NULL);
	ck_assert_int_eq(image_open(&image, path, IMAGE_RAW), 0);
	image_close(&image);
	close(quiet);
}
END_TEST

Suite *blk_image_suite(void);
Suite *blk_image_suite(void)
{
	Suite *suite = suite_create("blk, image");
	TCase *tcase = tcase_create("image");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, test_file);
	tcase_add_loop_test(tcase, test_no_disks, 0, 2);
	tcase_add_loop_test(tcase, test_sizes, 0, 2);
	tcase_add_loop_test(tcase, test_formats, 0, 2);
	tcase_add_test(tcase, test_locks);
	tcase_add_test(tcase, test_removed_meanwhile);
	suite_add_tcase(suite, tcase);
	return suite;
}
