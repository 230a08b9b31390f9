// SPDX-License-Identifier: Apache-2.0
/* Opens, measures and locks a disk's file; io.c reads and writes it. */
#include "devices/virtio-blk/image.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/lib/image_format.h"
#include "vmm/lib/image_lock.h"
#include "vmm/lib/log.h"

#define SECTOR	  512
#define BLOCK_MAX 4096U /* the largest block that cache=none supports */

static ssize_t host_preadv(int fd, const struct iovec *iov, int n, off_t offset)
{
	return preadv(fd, iov, n, offset);
}

static ssize_t host_pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
	return pwritev(fd, iov, n, offset);
}

static int host_fallocate(int fd, int mode, off_t offset, off_t len)
{
	return fallocate(fd, mode, offset, len);
}

static const struct image_calls host_calls = {
	.preadv = host_preadv,
	.pwritev = host_pwritev,
	.fallocate = host_fallocate,
	.fdatasync = fdatasync,
	.lseek = lseek,
};

static bool is_disk(const struct stat *st)
{
	return S_ISREG(st->st_mode) || S_ISBLK(st->st_mode);
}

static int explain_open(const char *path, bool read_only, int error)
{
	bool forbidden = error == EACCES || error == EROFS || error == EPERM;
	if (error == EBUSY)
		log_error(
			"the disk '%s' is in use on this host: unmount it, or end the program that holds it",
			path);
	else
		log_error("cannot open the disk '%s': %s%s", path, strerror(error),
			  forbidden && !read_only ? "; for a read-only disk, write FILE,ro" : "");
	return -error;
}

/*
 * For a file opened with O_NONBLOCK an io_uring returns EAGAIN, again and again, instead of
 * waiting.
 */
static int set_waiting(const struct image *image, const char *path)
{
	int flags = fcntl(image->fd, F_GETFL);
	if (flags < 0 || fcntl(image->fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
		return explain_open(path, image->read_only, errno);
	return 0;
}

static int open_file(struct image *image, const char *path)
{
	struct stat st;
	int flags = O_CLOEXEC | O_NONBLOCK | (image->read_only ? O_RDONLY : O_RDWR);

	/* Before opening: to open a pipe or another kind of device can have side effects. */
	if (stat(path, &st) < 0)
		return explain_open(path, image->read_only, errno);
	if (is_disk(&st)) {
		if (S_ISBLK(st.st_mode) && !image->read_only)
			flags |= O_EXCL;
		image->fd = open(path, flags);
		if (image->fd < 0 || fstat(image->fd, &st) < 0)
			return explain_open(path, image->read_only, errno);
	}
	if (!is_disk(&st)) {
		log_error("the disk '%s' is neither a regular file nor a block device: name a raw "
			  "image or a device",
			  path);
		return -EINVAL;
	}
	image->device = S_ISBLK(st.st_mode);
	image->size = st.st_size;
	return set_waiting(image, path);
}

static int measure(struct image *image, const char *path)
{
	int block_size = SECTOR;

	if (image->device && (ioctl(image->fd, BLKGETSIZE64, &image->size) < 0 ||
			      ioctl(image->fd, BLKSSZGET, &block_size) < 0)) {
		int error = errno;
		log_error("cannot measure the disk '%s': %s", path, strerror(error));
		return -error;
	}
	image->block_size = block_size;
	return 0;
}

/* Reads a part of the file; bytes beyond its end are zeros. */
static int read_sector(const struct image *image, const char *path, uint64_t offset,
		       uint8_t sector[IMAGE_FORMAT_SECTOR])
{
	memset(sector, 0, IMAGE_FORMAT_SECTOR);
	if (pread(image->fd, sector, IMAGE_FORMAT_SECTOR, (off_t)offset) >= 0)
		return 0;
	int error = errno;
	log_error("cannot read the disk '%s': %s", path, strerror(error));
	return -error;
}

/* Before the check of the size: the advice to extend another format's file would not help. */
static int check_format(const struct image *image, const char *path)
{
	uint8_t first[IMAGE_FORMAT_SECTOR], last[IMAGE_FORMAT_SECTOR];
	uint64_t end = image->size < IMAGE_FORMAT_SECTOR ? 0 : image->size - IMAGE_FORMAT_SECTOR;

	int error = read_sector(image, path, 0, first);
	if (!error)
		error = read_sector(image, path, end, last);
	if (error)
		return error;
	const char *format = image_format_name(first, last);
	if (!format)
		return 0;
	log_error(
		"the disk '%s' is an image in the format %s, but ebb supports only raw and qcow2 disks: convert "
		"it with qemu-img convert -O raw, or write FILE,format=raw to show the guest "
		"the file as it is",
		path, format);
	return -EINVAL;
}

static int check_size(const struct image *image, const char *path)
{
	if (image->size == 0) {
		log_error(
			"the disk '%s' is empty: set its size first, for example with truncate -s 1G",
			path);
		return -EINVAL;
	}
	if (image->size % image->block_size) {
		log_error(
			"the disk '%s' has %llu bytes, which is not a multiple of %u: extend it, for "
			"example with truncate -s %%%u",
			path, (unsigned long long)image->size, image->block_size,
			image->block_size);
		return -EINVAL;
	}
	return 0;
}

/* Between opening and locking, `ebb images --remove` may have locked and removed it. */
static bool has_name(const struct image *image, const char *path)
{
	struct stat st, named;

	return fstat(image->fd, &st) == 0 && stat(path, &named) == 0 && st.st_dev == named.st_dev &&
	       st.st_ino == named.st_ino;
}

static int lock(const struct image *image, const char *path)
{
	int error = image_lock(image->fd, image->read_only);
	if (!error && !has_name(image, path)) {
		log_error("the disk '%s' was removed or replaced just now", path);
		return -ESTALE;
	}
	if (error == -EAGAIN)
		log_error("the disk '%s' is in use already, by another guest or as another disk%s",
			  path,
			  image->read_only ? ", which may write to it: give each its own, or "
					     "FILE,ro to both"
					   : ": give each its own, or FILE,ro to both");
	else if (error)
		log_error("cannot lock the disk '%s': %s", path, strerror(-error));
	return error;
}

/* Punching a hole at the file's end changes nothing, but tells whether the file system has holes. */
static bool discards(const struct image *image)
{
	if (image->read_only)
		return false;
	return image->device || fallocate(image->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					  image->size, SECTOR) == 0;
}

/*
 * Tries a block: some file systems fail when O_DIRECT is set (tmpfs), others when it is used for
 * blocks that are smaller than those of the disk below.
 */
static int try_direct(const struct image *image)
{
	uint8_t memory[3 * BLOCK_MAX], *block = memory;
	unsigned int size = image->block_size;

	if (size > BLOCK_MAX)
		return -EINVAL;
	/* Aligned to the block, and to no more. */
	block += BLOCK_MAX - (uintptr_t)memory % BLOCK_MAX + size % BLOCK_MAX;
	int flags = fcntl(image->fd, F_GETFL);
	if (flags < 0 || fcntl(image->fd, F_SETFL, flags | O_DIRECT) < 0)
		return -errno;
	if (pread(image->fd, block, size, image->size >= 2 * size ? size : 0) >= 0)
		return 0;
	int error = -errno;
	fcntl(image->fd, F_SETFL, flags);
	return error;
}

static void set_direct(struct image *image, const char *path)
{
	int error = try_direct(image);
	image->direct = error == 0;
	if (error)
		log_warn(
			"the disk '%s' goes through the host's page cache in spite of cache=none: its file "
			"system cannot do without, or not in blocks of %u bytes (%s)",
			path, image->block_size, strerror(-error));
}

int image_open(struct image *image, const char *path, unsigned int flags)
{
	*image = (struct image){
		.calls = &host_calls, .fd = -1, .read_only = flags & IMAGE_READ_ONLY};
	int error = open_file(image, path);
	if (!error)
		error = measure(image, path);
	if (!error && !(flags & IMAGE_RAW))
		error = check_format(image, path);
	if (!error)
		error = check_size(image, path);
	if (!error)
		error = lock(image, path);
	if (error)
		image_close(image);
	else
		image->discards = discards(image);
	if (!error && flags & IMAGE_DIRECT)
		set_direct(image, path);
	return error;
}

void image_close(struct image *image)
{
	if (image->calls && image->fd >= 0)
		close(image->fd);
	image->fd = -1;
}
