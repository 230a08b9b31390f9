// SPDX-License-Identifier: Apache-2.0
/* A host that fails: no more is harmed than the one request, and it is said. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/fake_disk.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static struct {
	int error;	    /* of every call, unless 0 */
	int fallocate;	    /* likewise of that alone */
	unsigned int calls; /* so many go well before */
	size_t most;	    /* bytes of one call */
	unsigned int interrupted;
} host;

static bool fails(void)
{
	if (host.interrupted > 0) {
		host.interrupted--;
		errno = EINTR;
		return true;
	}
	if (host.calls > 0) {
		host.calls--;
		return false;
	}
	errno = host.error;
	return host.error;
}

static struct iovec first_of(const struct iovec *iov)
{
	size_t len = iov[0].iov_len;
	return (struct iovec){iov[0].iov_base, len < host.most ? len : host.most};
}

static ssize_t bad_preadv(int fd, const struct iovec *iov, int n, off_t offset)
{
	struct iovec first = first_of(iov);
	return fails() ? -1 : preadv(fd, host.most ? &first : iov, host.most ? 1 : n, offset);
}

static ssize_t bad_pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
	struct iovec first = first_of(iov);
	return fails() ? -1 : pwritev(fd, host.most ? &first : iov, host.most ? 1 : n, offset);
}

static int bad_fallocate(int fd, int mode, off_t offset, off_t len)
{
	(void)fd, (void)mode, (void)offset, (void)len;
	if (fails())
		return -1;
	errno = host.fallocate;
	return -1;
}

static int bad_fdatasync(int fd)
{
	return fails() ? -1 : fdatasync(fd);
}

/* Is not interrupted. */
static off_t bad_lseek(int fd, off_t offset, int whence)
{
	errno = host.error;
	return host.error && host.calls == 0 ? -1 : lseek(fd, offset, whence);
}

static const struct image_calls bad_calls = {bad_preadv, bad_pwritev, bad_fallocate, bad_fdatasync,
					     bad_lseek};

static void host_setup(void (*setup)(void))
{
	setup();
	memset(&host, 0, sizeof(host));
	host.fallocate = EOPNOTSUPP;
	disk.image.calls = &bad_calls;
}

static void host_setup_sync(void)
{
	host_setup(disk_setup);
}

static void host_setup_fake(void)
{
	host_setup(disk_setup_fake);
}

START_TEST(errors_are_told)
{
	static const int errors[] = {EIO, ENOSPC, EFBIG, EDQUOT, EFAULT, EBADF, EROFS};
	for (int i = 0; i < COUNT(errors); i++) {
		host.error = errors[i];
		ANSWERED(disk_read(0, 4096), VIRTIO_BLK_S_IOERR);
		ANSWERED(disk_write(0, 4096), VIRTIO_BLK_S_IOERR);
		ANSWERED(disk_request(VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0), VIRTIO_BLK_S_IOERR);
		ANSWERED(disk_range(VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 1), VIRTIO_BLK_S_IOERR);
		ck_assert(!disk_needs_reset());
	}
	DISK_COUNTED(BLK_READ, failed, COUNT(errors));
	DISK_COUNTED(BLK_WRITE, failed, COUNT(errors));
	DISK_COUNTED(BLK_FLUSH, failed, COUNT(errors));
	DISK_COUNTED(BLK_ZERO, failed, COUNT(errors));
	DISK_COUNTED(BLK_READ, operations, 0);
	ck_assert(disk_is_moved(0));
	host.error = 0;
	ANSWERED(disk_read(0, 4096), VIRTIO_BLK_S_OK);
}
END_TEST

static void write_once(void)
{
	disk_write(0, 512);
}

static void flush_once(void)
{
	disk_request(VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0);
}

static void zero_once(void)
{
	disk_range(VIRTIO_BLK_T_WRITE_ZEROES, 16, 8, 0);
}

static void unmap_once(void)
{
	disk_range(VIRTIO_BLK_T_WRITE_ZEROES, 16, 8, 1);
}

static void read_once(void)
{
	disk_read(DISK_SECTORS - 1, 512);
}

/* What is said on standard error when something is done a hundred times. */
static const char *said_of(void (*act)(void))
{
	static char text[4096];
	char path[] = "/tmp/ebb-said-XXXXXX";
	int file = mkstemp(path), before = dup(STDERR_FILENO);
	ck_assert_int_ge(file, 0);
	dup2(file, STDERR_FILENO);
	for (unsigned int i = 0; i < 100; i++)
		act();
	dup2(before, STDERR_FILENO);
	memset(text, 0, sizeof(text));
	ck_assert_int_gt(pread(file, text, sizeof(text) - 1, 0), 0);
	unlink(path);
	close(file);
	/* A line, however often it happens. */
	ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
	return text;
}

START_TEST(said_once)
{
	host.error = ENOSPC;
	const char *text = said_of(write_once);
	ck_assert_ptr_nonnull(strstr(text, "No space left"));
	ck_assert_ptr_nonnull(strstr(text, disk_path));
	/* That data may be lost is said although something was said before. */
	host.error = EIO;
	text = said_of(flush_once);
	ck_assert_ptr_nonnull(strstr(text, "may have lost"));
	ck_assert_ptr_nonnull(strstr(text, disk_path));
}
END_TEST

/* Guest RAM that the host has no page for: hugetlbfs, with its pool empty. */
START_TEST(no_page_for_the_data)
{
	host.error = EFAULT;
	ck_assert_ptr_nonnull(strstr(said_of(read_once), "no memory left for the guest"));
	ck_assert(!disk_needs_reset());
}
END_TEST

/* After a flush that failed the host's next one succeeds, though the data are gone: the disk's does not. */
START_TEST(a_failed_flush_is_remembered)
{
	host.error = EIO;
	ANSWERED(disk_request(VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0), VIRTIO_BLK_S_IOERR);
	host.error = 0;
	ANSWERED(disk_request(VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0), VIRTIO_BLK_S_IOERR);
	/* What can be done is done. */
	ANSWERED(disk_write(0, 512), VIRTIO_BLK_S_OK);
	ANSWERED(disk_read(0, 512), VIRTIO_BLK_S_OK);

	/* A driver that comes anew does not make it good, and what it is promised it has not. */
	fake_driver_start(&disk_guest, DISK_V1 | DISK_ZERO, 1, DISK_QUEUE);
	ANSWERED(disk_write(0, 512), VIRTIO_BLK_S_IOERR);
	ANSWERED(disk_range(VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 0), VIRTIO_BLK_S_IOERR);
	ANSWERED(disk_read(0, 512), VIRTIO_BLK_S_OK);

	/* Opening it anew does. */
	disk_replug(false);
	ANSWERED(disk_request(VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0), VIRTIO_BLK_S_OK);
}
END_TEST

/* A write that failed was told of: it is no reason to doubt what was acknowledged. */
START_TEST(a_failed_write_is_over)
{
	host.error = ENOSPC;
	ANSWERED(disk_write(0, 512), VIRTIO_BLK_S_IOERR);
	host.error = 0;
	ANSWERED(disk_write(0, 512), VIRTIO_BLK_S_OK);
	ANSWERED(disk_request(VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0), VIRTIO_BLK_S_OK);
}
END_TEST

/* What was not read is not said to be there. */
START_TEST(half_read)
{
	host.most = 1024;
	host.calls = 2;
	host.error = EIO;
	struct disk_answer answer = disk_read(0, 4096);
	ANSWERED(answer, VIRTIO_BLK_S_IOERR);
	ck_assert_uint_eq(answer.len, 2048);
	DISK_COUNTED(BLK_READ, bytes, 2048);
}
END_TEST

START_TEST(short_and_interrupted)
{
	const struct gpa_range data[] = {{DISK_DATA, 300}, {DISK_DATA + 300, 724}};
	host.most = _i ? 7 : 511;
	host.interrupted = 3;
	ANSWERED(disk_request(VIRTIO_BLK_T_IN, 6, data, 2, 0), VIRTIO_BLK_S_OK);
	ck_assert(disk_ram_is(DISK_DATA, 512, disk_byte(6)));
	ck_assert(disk_ram_is(DISK_DATA + 512, 512, disk_byte(7)));
	memset(fake_driver_at(&disk_guest, DISK_DATA, 1024), 0x77, 1024);
	host.interrupted = 3;
	ANSWERED(disk_request(VIRTIO_BLK_T_OUT, 6, data, 2, 2), VIRTIO_BLK_S_OK);
	ck_assert(disk_file_is(6 * 512, 1024, 0x77));
	ck_assert(disk_file_is(8 * 512, 512, disk_byte(8)));
	host.interrupted = 3;
	ANSWERED(disk_request(VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0), VIRTIO_BLK_S_OK);
}
END_TEST

/* Zeros are written where they cannot be had otherwise. */
START_TEST(zeros_by_hand)
{
	host.most = _i ? 3000 : 0;
	ANSWERED(disk_range(VIRTIO_BLK_T_WRITE_ZEROES, 1, DISK_SECTORS - 2, _i), VIRTIO_BLK_S_OK);
	ck_assert(disk_file_is(0, 512, disk_byte(0)));
	ck_assert(disk_file_is(512, DISK_SIZE - 1024, 0));
	ck_assert(disk_file_is(DISK_SIZE - 512, 512, disk_byte(DISK_SECTORS - 1)));
}
END_TEST

/* A file system without holes: advice that cannot be taken is no error, but it is told. */
START_TEST(discards_ignored)
{
	if (!disk.image.discards) /* nor was it offered: there is nothing to ignore */
		return;
	ANSWERED(disk_range(VIRTIO_BLK_T_DISCARD, 0, 8, 0), VIRTIO_BLK_S_OK);
	ANSWERED(disk_range(VIRTIO_BLK_T_DISCARD, 8, 8, 0), VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(atomic_load(&disk.ignored), 2 * 4096);
	DISK_COUNTED(BLK_DISCARD, failed, 0);
	ck_assert(disk_is_moved(0));
}
END_TEST

/* The file is cut short under a guest that uses it. */
START_TEST(a_shorter_file)
{
	disk.image.calls = &bad_calls;
	ck_assert_int_eq(truncate(disk_path, 4096), 0);
	ANSWERED(disk_read(0, 4096), VIRTIO_BLK_S_OK);
	struct disk_answer answer = disk_read(0, 8192);
	ANSWERED(answer, VIRTIO_BLK_S_IOERR);
	ck_assert_uint_eq(answer.len, 4096);
	ANSWERED(disk_read(DISK_SECTORS - 1, 512), VIRTIO_BLK_S_IOERR);
	ANSWERED(disk_request(VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0), VIRTIO_BLK_S_IOERR);
}
END_TEST

/* Found by whichever request comes first, and told from a hole at the end, which is none of it. */
START_TEST(a_shorter_file_is_lost)
{
	static void (*const acts[])(void) = {flush_once, zero_once, unmap_once, read_once};
	ck_assert_int_eq(truncate(disk_path, 4096), 0);
	ck_assert_ptr_nonnull(strstr(said_of(acts[_i]), "became shorter"));
	DISK_COUNTED(BLK_ZERO, operations, 0);
	DISK_COUNTED(BLK_FLUSH, operations, 0);
	/* Longer again is not as it was. */
	ck_assert_int_eq(truncate(disk_path, DISK_SIZE), 0);
	ANSWERED(disk_request(VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0), VIRTIO_BLK_S_IOERR);
	ANSWERED(disk_range(VIRTIO_BLK_T_WRITE_ZEROES, 0, DISK_SECTORS, 0), VIRTIO_BLK_S_OK);
}
END_TEST

/* Past the page cache a file that ends within a block is read up to that block, and written no further. */
START_TEST(a_shorter_file_within_a_block)
{
	disk.image.direct = true;
	ck_assert_int_eq(truncate(disk_path, 4096 + 100), 0);
	struct disk_answer answer = disk_read(0, 8192);
	ANSWERED(answer, VIRTIO_BLK_S_IOERR);
	ck_assert_uint_eq(answer.len, 4096);
	ANSWERED(disk_read(8, 512), VIRTIO_BLK_S_IOERR);
	ANSWERED(disk_request(VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0), VIRTIO_BLK_S_IOERR);
	host.most = 100;
	ANSWERED(disk_write(0, 4096), VIRTIO_BLK_S_IOERR);
	host.most = 1124;
	ANSWERED(disk_write(0, 4096), VIRTIO_BLK_S_OK);
}
END_TEST

/* A disk of 4 KiB blocks past the page cache, and a driver that ignores their size. */
START_TEST(less_than_a_block)
{
	const struct gpa_range cut[] = {{DISK_DATA + 1, 4096}, {DISK_DATA + 8192, 512}};
	disk.image.direct = true;
	disk.image.block_size = 4096;
	ANSWERED(disk_read(0, 512), VIRTIO_BLK_S_IOERR);
	ANSWERED(disk_write(0, 512), VIRTIO_BLK_S_IOERR);
	ANSWERED(disk_request(VIRTIO_BLK_T_IN, 0, cut, 2, 0), VIRTIO_BLK_S_IOERR);
	ANSWERED(disk_range(VIRTIO_BLK_T_WRITE_ZEROES, 0, 1, 0), VIRTIO_BLK_S_IOERR);
	ck_assert(disk_is_moved(0));
	ck_assert(!disk_needs_reset());
	ANSWERED(disk_read(0, 4096), VIRTIO_BLK_S_OK);
}
END_TEST

static void add_hosts(Suite *suite, const char *name, void (*setup)(void))
{
	TCase *hosts = tcase_create(name);
	tcase_add_checked_fixture(hosts, setup, disk_teardown);
	tcase_add_test(hosts, errors_are_told);
	tcase_add_test(hosts, said_once);
	tcase_add_test(hosts, half_read);
	tcase_add_loop_test(hosts, short_and_interrupted, 0, 2);
	tcase_add_loop_test(hosts, zeros_by_hand, 0, 2);
	tcase_add_test(hosts, discards_ignored);
	tcase_add_test(hosts, a_shorter_file);
	tcase_add_loop_test(hosts, a_shorter_file_is_lost, 0, 4);
	tcase_add_test(hosts, a_shorter_file_within_a_block);
	tcase_add_test(hosts, less_than_a_block);
	tcase_add_test(hosts, a_failed_flush_is_remembered);
	tcase_add_test(hosts, a_failed_write_is_over);
	tcase_add_test(hosts, no_page_for_the_data);
	suite_add_tcase(suite, hosts);
}

Suite *blk_host_suite(void);
Suite *blk_host_suite(void)
{
	Suite *suite = suite_create("blk, a host that fails");
	add_hosts(suite, "hosts", host_setup_sync);
	add_hosts(suite, "hosts, fake ring", host_setup_fake);
	return suite;
}
