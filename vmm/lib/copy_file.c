// SPDX-License-Identifier: Apache-2.0
#include "vmm/lib/copy_file.h"

#include <errno.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/lib/zero.h"

#define PIECE  ((uint64_t)4 << 20)
#define BUFFER (64 * 1024)
#define BLOCK  4096

/* Returns 0 or -errno. */
static int write_at(int fd, const uint8_t *data, size_t len, uint64_t offset)
{
	while (len > 0) {
		ssize_t put = pwrite(fd, data, len, (off_t)offset);
		if (put < 0 && errno != EINTR)
			return -errno;
		if (put > 0)
			data += put, len -= (size_t)put, offset += (uint64_t)put;
	}
	return 0;
}

/* A block device has no holes to be found: zeros become holes here. */
static int write_data(int fd, const uint8_t *data, size_t len, uint64_t offset)
{
	int error = 0;

	for (size_t at = 0; at < len && !error; at += BLOCK) {
		size_t some = len - at < BLOCK ? len - at : BLOCK;
		if (!is_zero(data + at, some))
			error = write_at(fd, data + at, some, offset + at);
	}
	return error;
}

/* Copies some of [@at, @end). Returns how many bytes, or -errno. */
static ssize_t copy_by_hand(const struct copy_file *copy, uint64_t at, uint64_t end)
{
	uint8_t data[BUFFER];
	size_t len = end - at < BUFFER ? end - at : BUFFER;

	ssize_t got = pread(copy->from, data, len, (off_t)at);
	if (got < 0)
		return errno == EINTR ? 0 : -errno;
	if (got == 0)
		return -EIO;
	int error = write_data(copy->to, data, (size_t)got, at);
	return error ? error : got;
}

static int copy_data(struct copy_file *copy, uint64_t at, uint64_t end)
{
	bool by_hand = false;

	while (at < end) {
		uint64_t len = end - at < PIECE ? end - at : PIECE;
		off_t in = (off_t)at, out = (off_t)at;
		if (!copy->goes_on(copy->ctx))
			return -ECANCELED;
		ssize_t done = by_hand ? copy_by_hand(copy, at, at + len)
				       : copy_file_range(copy->from, &in, copy->to, &out, len, 0);
		/* Not between all file systems, nor from devices: what is wrong with the files, the other way finds, too. */
		if (!by_hand && done <= 0) {
			by_hand = true;
			continue;
		}
		if (done < 0)
			return (int)done;
		at += (uint64_t)done;
		copy->bytes += (uint64_t)done;
	}
	return 0;
}

/* Sets [*@from, *@to), which begins at @at or behind it, to data up to a hole, or @size. Returns 0 or -errno. */
static int next_data(int fd, uint64_t at, uint64_t size, uint64_t *from, uint64_t *to)
{
	off_t data = lseek(fd, (off_t)at, SEEK_DATA);

	*from = *to = size;
	if (data < 0 && errno == ENXIO)
		return 0;
	/* What has no holes says EINVAL. */
	if (data < 0 && errno != EINVAL)
		return -errno;
	*from = data < 0 ? at : (uint64_t)data;
	off_t hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
	if (hole >= 0 && (uint64_t)hole < size)
		*to = (uint64_t)hole;
	return 0;
}

static int copy_pieces(struct copy_file *copy, off_t size)
{
	uint64_t from, to = 0;
	int error = ftruncate(copy->to, size) < 0 ? -errno : 0;

	while (!error && to < (uint64_t)size) {
		error = next_data(copy->from, to, (uint64_t)size, &from, &to);
		if (!error && from < to)
			error = copy_data(copy, from, to);
	}
	return error;
}

int copy_file(struct copy_file *copy)
{
	off_t size = lseek(copy->from, 0, SEEK_END);

	copy->bytes = 0;
	copy->shares = false;
	if (size < 0)
		return -errno;
	copy->shares = ioctl(copy->to, FICLONE, copy->from) == 0;
	int error = copy->shares ? 0 : copy_pieces(copy, size);
	/* What is behind the end of a file that became shorter seems to be a hole. */
	if (!error && lseek(copy->from, 0, SEEK_END) != size)
		error = -EIO;
	return error;
}
