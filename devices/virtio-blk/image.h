/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a disk is kept in: a raw file or a block device of the host, through the host's page cache. Locks keep
 * others from writing to it (lock.h). A block device that is written is opened exclusively besides (O_EXCL,
 * open(2)), which fails while it is mounted.
 *
 * Thread: open and close on the main thread, the rest on one thread at a time.
 */
#ifndef EBB_VIRTIO_BLK_IMAGE_H
#define EBB_VIRTIO_BLK_IMAGE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* The host's calls, as their manual pages have them: a test can make them fail. */
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
	bool device;   /* a block device */
	bool discards; /* space in it can be given back to the host, as far as is known */
	int lost;      /* 0, or why what was written may be gone: -errno; see image_flush() */
};

#define IMAGE_READ_ONLY (1U << 0)
#define IMAGE_RAW	(1U << 1) /* even if it has the mark of another format */

/* @flags: IMAGE_*. Returns 0, or -errno having said what is wrong and what to do. */
int image_open(struct image *image, const char *path, unsigned int flags);
/* Also of one that was not opened. */
void image_close(struct image *image);

/*
 * Move what @n buffers hold, or a part of it. @durable: it is on the disk when this is back. Return the
 * bytes moved, at least one; or -errno, of which -EIO is also a file that became shorter.
 */
ssize_t image_read(struct image *image, const struct iovec *iov, unsigned int n, uint64_t offset);
ssize_t image_write(struct image *image, const struct iovec *iov, unsigned int n, uint64_t offset,
		    bool durable);

/* image->lost of a file that became shorter. */
#define IMAGE_SHORTER (-ENODATA)

/*
 * What was written is on the disk when this is back. Returns 0 or -errno. After a failure the host may have
 * dropped what it could not write, and would call the next flush a success (fsync(2)): it fails, and so does
 * each durable write, until the image is opened anew. The same holds once the file was found to be shorter.
 */
int image_flush(struct image *image);

/*
 * Give back the space of [@offset, @offset + @len); what is there then is anything. Returns 0, -EOPNOTSUPP
 * where the host cannot (then it will not be asked again), or -errno.
 */
int image_discard(struct image *image, uint64_t offset, uint64_t len);

/*
 * Makes zeros of [@offset, @offset + @len), or of a beginning of it that takes no long time. @unmap: the
 * space may be given back. What is a hole stays one: no space is taken where the file system can tell. Returns
 * how many bytes, at least one; or -errno, of which -EIO is also a file that became shorter.
 */
ssize_t image_zero(struct image *image, uint64_t offset, uint64_t len, bool unmap);

#endif
