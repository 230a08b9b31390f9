// SPDX-License-Identifier: Apache-2.0
#include "vmm/lib/image_lock.h"

#include <errno.h>
#include <fcntl.h>

#include "vmm/lib/clock.h"

/* QEMU's bytes: for operations that a program does, for those that it excludes; the operations. */
#define DONE_BASE     100
#define EXCLUDED_BASE 200
#define READ	      (1U << 0) /* BLK_PERM_CONSISTENT_READ */
#define WRITE	      (1U << 1) /* BLK_PERM_WRITE */
#define RESIZE	      (1U << 3) /* BLK_PERM_RESIZE */
#define BITS	      8

#define TRIES  50
#define TRY_MS 20

static struct flock byte_at(short type, off_t offset)
{
	return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = offset, .l_len = 1};
}

/* Locks the bytes from @base on whose bits are in @what. */
static int hold(int fd, off_t base, unsigned int what)
{
	for (unsigned int bit = 0; bit < BITS; bit++) {
		struct flock byte = byte_at(F_RDLCK, base + bit);
		if (what >> bit & 1 && fcntl(fd, F_OFD_SETLK, &byte) < 0)
			return errno == EACCES ? -EAGAIN : -errno;
	}
	return 0;
}

/* Returns -EAGAIN if another program has locked one of them. */
static int look(int fd, off_t base, unsigned int what)
{
	for (unsigned int bit = 0; bit < BITS; bit++) {
		struct flock byte = byte_at(F_WRLCK, base + bit);
		if (!(what >> bit & 1))
			continue;
		if (fcntl(fd, F_OFD_GETLK, &byte) < 0)
			return -errno;
		if (byte.l_type != F_UNLCK)
			return -EAGAIN;
	}
	return 0;
}

static void let_go(int fd)
{
	struct flock done = byte_at(F_UNLCK, DONE_BASE), excluded = byte_at(F_UNLCK, EXCLUDED_BASE);

	done.l_len = excluded.l_len = BITS;
	fcntl(fd, F_OFD_SETLK, &done);
	fcntl(fd, F_OFD_SETLK, &excluded);
}

static int try_lock(int fd, bool read_only)
{
	unsigned int done = read_only ? READ : READ | WRITE;
	unsigned int excluded = WRITE | RESIZE;

	/* Lock first, then test: of two programs at the same time at least one fails. */
	int error = hold(fd, DONE_BASE, done);
	if (!error)
		error = hold(fd, EXCLUDED_BASE, excluded);
	if (!error)
		error = look(fd, EXCLUDED_BASE, done);
	if (!error)
		error = look(fd, DONE_BASE, excluded);
	if (error)
		let_go(fd);
	return error;
}

int image_lock(int fd, bool read_only)
{
	int error = try_lock(fd, read_only);

	for (int i = 1; i < TRIES && error == -EAGAIN; i++) {
		clock_sleep_ms(TRY_MS);
		error = try_lock(fd, read_only);
	}
	return error;
}
