// SPDX-License-Identifier: Apache-2.0
/* Reads and writes a disk's file. Each call does a bounded piece, since a reset of the device waits for it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "devices/virtio-blk/image.h"

/* Bytes that one call zeroes: by the host's own means, and by writing zeros. */
#define ZERO_RANGE_MAX (32U << 20)
#define ZERO_PAGE      4096U
#define ZERO_PAGES_MAX 256U

/* Bytes that are copied at once from or to buffers that do not fit. */
#define COPY_BYTES  16384U
#define BLOCK_ALIGN 4096

static const uint8_t zeros[ZERO_PAGE] __attribute__((aligned(ZERO_PAGE)));

bool image_is_shorter(struct image *image)
{
	off_t end = image->calls->lseek(image->fd, 0, SEEK_END);
	if (end < 0 || (uint64_t)end >= image->size)
		return false;
	if (!image->lost)
		image->lost = IMAGE_SHORTER;
	return true;
}

bool image_fits(const struct image *image, const struct iovec *iov, unsigned int n)
{
	uintptr_t mask = image->direct ? image->block_size - 1 : 0;
	for (unsigned int i = 0; i < n; i++)
		if (((uintptr_t)iov[i].iov_base | iov[i].iov_len) & mask)
			return false;
	return true;
}

/* Copies between the buffers and @copy, their first @len bytes. */
static void copy_bytes(const struct iovec *iov, uint8_t *copy, size_t len, bool to_buffers)
{
	for (size_t done = 0; done < len; iov++) {
		size_t step = iov->iov_len < len - done ? iov->iov_len : len - done;
		if (to_buffers)
			memcpy(iov->iov_base, copy + done, step);
		else
			memcpy(copy + done, iov->iov_base, step);
		done += step;
	}
}

/*
 * Moves the first bytes through an aligned copy. A request that is not whole blocks, of a driver that ignores
 * the block size, cannot be moved: the host would refuse it.
 */
static ssize_t move_copied(struct image *image, const struct iovec *iov, unsigned int n,
			   uint64_t offset, bool write)
{
	uint8_t copy[COPY_BYTES] __attribute__((aligned(BLOCK_ALIGN)));
	struct iovec one = {copy, 0};

	for (unsigned int i = 0; i < n && one.iov_len < COPY_BYTES; i++)
		one.iov_len += iov[i].iov_len < COPY_BYTES - one.iov_len ? iov[i].iov_len
									 : COPY_BYTES - one.iov_len;
	if (!image_fits(image, &one, 1))
		return -EINVAL;
	if (write) {
		copy_bytes(iov, copy, one.iov_len, false);
		return image_write(image, &one, 1, offset, false);
	}
	ssize_t done = image_read(image, &one, 1, offset);
	if (done > 0)
		copy_bytes(iov, copy, done, true);
	return done;
}

int image_ended(struct image *image)
{
	image_is_shorter(image);
	return -EIO;
}

ssize_t image_moved(struct image *image, uint64_t bytes)
{
	if (image->direct)
		bytes -= bytes % image->block_size;
	return bytes ? (ssize_t)bytes : image_ended(image);
}

ssize_t image_read(struct image *image, const struct iovec *iov, unsigned int n, uint64_t offset)
{
	ssize_t done;
	if (!image_fits(image, iov, n))
		return move_copied(image, iov, n, offset, false);
	do
		done = image->calls->preadv(image->fd, iov, (int)n, (off_t)offset);
	while (done < 0 && errno == EINTR);
	return done < 0 ? -errno : image_moved(image, (uint64_t)done);
}

ssize_t image_write(struct image *image, const struct iovec *iov, unsigned int n, uint64_t offset,
		    bool durable)
{
	ssize_t done;
	if (!image_fits(image, iov, n)) {
		done = move_copied(image, iov, n, offset, true);
		int error = done > 0 && durable ? image_flush(image) : 0;
		return error ? error : done;
	}
	/* The write might give the file its length again, and hide the loss. */
	image_is_shorter(image);
	do
		done = image->calls->pwritev(image->fd, iov, (int)n, (off_t)offset);
	while (done < 0 && errno == EINTR);
	done = done < 0 ? -errno : image_moved(image, (uint64_t)done);
	int error = done > 0 && durable ? image_flush(image) : 0;
	return error ? error : done;
}

int image_flush(struct image *image)
{
	int failed;
	if (image->lost)
		return image->lost;
	do
		failed = image->calls->fdatasync(image->fd);
	while (failed && errno == EINTR);
	return image_flushed(image, failed ? -errno : 0);
}

int image_flushed(struct image *image, int result)
{
	if (!image->lost)
		image->lost = result;
	if (!image->lost)
		image_is_shorter(image);
	return image->lost;
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

/* A block device's own discard, which need not leave zeros, as a hole would have to. */
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

static ssize_t write_zeros(struct image *image, uint64_t offset, uint64_t len)
{
	struct iovec iov[ZERO_PAGES_MAX];
	unsigned int n = 0;
	/* The buffers are only read, though struct iovec has no const. */
	for (; n < ZERO_PAGES_MAX && len > 0; n++) {
		iov[n] = (struct iovec){(void *)zeros, len < ZERO_PAGE ? len : ZERO_PAGE};
		len -= iov[n].iov_len;
	}
	return image_write(image, iov, n, offset, false);
}

/* Returns where data begins from @offset on (@end, if all up to there is a hole), or -errno. */
static int64_t find_data(struct image *image, uint64_t offset, uint64_t end)
{
	off_t found = image->calls->lseek(image->fd, (off_t)offset, SEEK_DATA);
	if (found < 0 && errno == ENXIO) /* no data is left, or the file became shorter */
		return image_is_shorter(image) ? -EIO : (int64_t)end;
	if (found < 0)
		return -errno;
	return (uint64_t)found < end ? found : (int64_t)end;
}

/*
 * Returns how many bytes from the beginning of [@offset, *@end) are a hole, which reads as zeros
 * and takes no space; or 0 with *@end set to the end of the data; or -errno. If the host cannot
 * find holes, all is data.
 */
static ssize_t skip_hole(struct image *image, uint64_t offset, uint64_t *end)
{
	if (image->device)
		return 0;
	int64_t data = find_data(image, offset, *end);
	if (data == -EINVAL || data == -EOPNOTSUPP)
		return 0;
	if (data != (int64_t)offset)
		return data < 0 ? data : (ssize_t)(data - offset);
	off_t hole = image->calls->lseek(image->fd, (off_t)offset, SEEK_HOLE);
	if (hole < 0)
		return -errno;
	if ((uint64_t)hole < *end)
		*end = hole;
	return 0;
}

ssize_t image_zero(struct image *image, uint64_t offset, uint64_t len, bool unmap)
{
	/* Pieces end at block boundaries: a block that is cut in two could not be freed. */
	uint64_t most = ZERO_RANGE_MAX - offset % ZERO_RANGE_MAX;
	uint64_t end = offset + len;
	int error = -EOPNOTSUPP;

	ssize_t hole = skip_hole(image, offset, &end);
	if (hole)
		return hole;
	uint64_t piece = end - offset < most ? end - offset : most;
	if (unmap)
		error = allocate(image, FALLOC_FL_PUNCH_HOLE, offset, piece);
	if (error == -EOPNOTSUPP)
		error = allocate(image, FALLOC_FL_ZERO_RANGE, offset, piece);
	if (error == -EOPNOTSUPP)
		return write_zeros(image, offset, piece);
	return error ? error : (ssize_t)piece;
}
