// SPDX-License-Identifier: Apache-2.0
/* What is done with a disk's file. Each call does a bounded piece: a reset of the device waits for it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "devices/virtio-blk/image.h"

/* Bytes that one call makes zeros of: by the host's own means, and by writing them. */
#define ZERO_RANGE_MAX (32U << 20)
#define ZERO_PAGE      4096U
#define ZERO_PAGES_MAX 256U

static const uint8_t zeros[ZERO_PAGE];

ssize_t image_read(const struct image *image, const struct iovec *iov, unsigned int n,
		   uint64_t offset)
{
	ssize_t done;
	do
		done = image->calls->preadv(image->fd, iov, (int)n, (off_t)offset);
	while (done < 0 && errno == EINTR);
	/* The end of a file that was longer when it was opened. */
	if (done == 0)
		return -EIO;
	return done < 0 ? -errno : done;
}

ssize_t image_write(const struct image *image, const struct iovec *iov, unsigned int n,
		    uint64_t offset, bool durable)
{
	int flags = durable ? RWF_DSYNC : 0;
	ssize_t done;
	do
		done = image->calls->pwritev2(image->fd, iov, (int)n, (off_t)offset, flags);
	while (done < 0 && errno == EINTR);
	if (done == 0)
		return -EIO;
	return done < 0 ? -errno : done;
}

int image_flush(const struct image *image)
{
	int failed;
	do
		failed = image->calls->fdatasync(image->fd);
	while (failed && errno == EINTR);
	return failed ? -errno : 0;
}

static int allocate(const struct image *image, int mode, uint64_t offset, uint64_t len)
{
	int failed;
	do
		failed = image->calls->fallocate(image->fd, mode | FALLOC_FL_KEEP_SIZE,
						 (off_t)offset, (off_t)len);
	while (failed && errno == EINTR);
	return failed ? -errno : 0;
}

/* A block device's own discard, which need not make zeros; a hole in it would have to. */
static int discard_device(const struct image *image, uint64_t offset, uint64_t len)
{
	uint64_t range[2] = {offset, len};
	int failed;
	do
		failed = ioctl(image->fd, BLKDISCARD, range);
	while (failed && errno == EINTR);
	return failed ? -errno : 0;
}

int image_discard(struct image *image, uint64_t offset, uint64_t len)
{
	if (!image->discards)
		return -EOPNOTSUPP;
	int error = image->device ? discard_device(image, offset, len)
				  : allocate(image, FALLOC_FL_PUNCH_HOLE, offset, len);
	if (error == -EOPNOTSUPP)
		image->discards = false;
	return error;
}

static ssize_t write_zeros(const struct image *image, uint64_t offset, uint64_t len)
{
	struct iovec iov[ZERO_PAGES_MAX];
	unsigned int n = 0;
	/* The buffers are only read: struct iovec has no word for that. */
	for (; n < ZERO_PAGES_MAX && len > 0; n++) {
		iov[n] = (struct iovec){(void *)zeros, len < ZERO_PAGE ? len : ZERO_PAGE};
		len -= iov[n].iov_len;
	}
	return image_write(image, iov, n, offset, false);
}

ssize_t image_zero(const struct image *image, uint64_t offset, uint64_t len, bool unmap)
{
	uint64_t piece = len < ZERO_RANGE_MAX ? len : ZERO_RANGE_MAX;
	int error = -EOPNOTSUPP;

	if (unmap)
		error = allocate(image, FALLOC_FL_PUNCH_HOLE, offset, piece);
	if (error == -EOPNOTSUPP)
		error = allocate(image, FALLOC_FL_ZERO_RANGE, offset, piece);
	if (error == -EOPNOTSUPP)
		return write_zeros(image, offset, len);
	return error ? error : (ssize_t)piece;
}
