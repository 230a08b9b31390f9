/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contents of a disk: a raw file or a block device of the host, through the host's page cache.
 * Locks keep other programs from writing to it (lock.h). A writable block device is also opened
 * exclusively (O_EXCL, open(2)), which fails while it is mounted.
 *
 * Thread: open and close on the main thread, the rest on one thread at a time.
 */
#ifndef EBB_VIRTIO_BLK_IMAGE_H
#define EBB_VIRTIO_BLK_IMAGE_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* The host's system calls, as in their manual pages. A hook, so that a test can make them fail. */
struct image_calls {
	ssize_t (*preadv)(int fd, const struct iovec *iov, int n, off_t offset);
	ssize_t (*pwritev)(int fd, const struct iovec *iov, int n, off_t offset);
	int (*fallocate)(int fd, int mode, off_t offset, off_t len);
	int (*fdatasync)(int fd);
	off_t (*lseek)(int fd, off_t offset, int whence);
};

struct image {
	const struct image_calls *calls;
	int fd;			 /* or -1 */
	uint64_t size;		 /* bytes, a multiple of block_size */
	unsigned int block_size; /* bytes: 512, or a block device's own */
	bool read_only;
	bool device;	 /* a block device */
	bool direct;	 /* past the page cache (O_DIRECT): memory in blocks, see image_fits() */
	bool discards;	 /* the host can free space in it, as far as known */
	atomic_int lost; /* 0, or -errno if written data may be lost; see image_flush() */
};

#define IMAGE_READ_ONLY (1U << 0)
#define IMAGE_RAW	(1U << 1) /* even if it has the mark of another format */
#define IMAGE_DIRECT                                                                               \
	(1U << 2) /* bypass the page cache; if the host cannot, warn and use the page cache */

/* @flags: IMAGE_*. Returns 0, or -errno after an error message. */
int image_open(struct image *image, const char *path, unsigned int flags);
/* Accepts an image that was not opened. */
void image_close(struct image *image);

/*
 * Returns whether the host can move these buffers as they are: to bypass the page cache, the
 * address and the length of each must be multiples of the block size.
 */
bool image_fits(const struct image *image, const struct iovec *iov, unsigned int n);

/*
 * Move the contents of @n buffers, or a part of them; copy buffers that do not fit. @durable: the
 * data is on the disk before this returns. Return the number of bytes moved, at least one, or
 * -errno: -EIO also if the file became shorter.
 */
ssize_t image_read(struct image *image, const struct iovec *iov, unsigned int n, uint64_t offset);
ssize_t image_write(struct image *image, const struct iovec *iov, unsigned int n, uint64_t offset,
		    bool durable);

/* For callers that read, write and flush the file without these functions, as flight.c. */

/*
 * Returns whether the file was longer when it was opened: the guest's data beyond its end is lost.
 */
bool image_is_shorter(struct image *image);
/* Records that a read or a write moved nothing. Returns -EIO. */
int image_ended(struct image *image);
/*
 * Returns the @bytes that a read or a write moved; past the page cache without the part of a block at their
 * end, where the file ends: the host does not continue there. -EIO, as image_ended(), if nothing is left.
 */
ssize_t image_moved(struct image *image, uint64_t bytes);
/* Records that fdatasync() ended with @result, 0 or -errno. Returns as image_flush(). */
int image_flushed(struct image *image, int result);

/* The value of image->lost if the file became shorter. */
#define IMAGE_SHORTER (-ENODATA)

/*
 * Makes all written data durable. Returns 0 or -errno. After a failure the host may have
 * dropped the pages it could not write, and would report the next flush as a success (fsync(2)).
 * Therefore every later flush and durable write fails until the image is opened again; likewise
 * after the file was found to be shorter.
 */
int image_flush(struct image *image);

/*
 * Frees the space of [@offset, @offset + @len), whose contents are undefined afterwards. Returns 0, -EOPNOTSUPP
 * if the host cannot (then this is not tried again), or -errno.
 */
int image_discard(struct image *image, uint64_t offset, uint64_t len);

/*
 * Zeroes [@offset, @offset + @len), or as much from its beginning as can be done quickly. @unmap:
 * the space may be freed. A hole stays a hole: no space is allocated for it if the file system can
 * find it. Returns the number of bytes zeroed, at least one, or -errno: -EIO also if the file
 * became shorter.
 */
ssize_t image_zero(struct image *image, uint64_t offset, uint64_t len, bool unmap);

#endif
