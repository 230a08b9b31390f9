// SPDX-License-Identifier: Apache-2.0
#include "vmm/arch/boot_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/lib/log.h"
#include "vmm/lib/read_all.h"
#include "vmm/lib/signal_waits.h"
#include "vmm/lib/write_all.h"

#define CHUNK 65536
#define PIECE (16ULL << 20) /* bytes read between two checks for signals */

static int cannot(const struct boot_file *source, const char *verb, int error)
{
	log_error("cannot %s the %s '%s': %s", verb, source->what, source->name, strerror(error));
	return -error;
}

static int interrupted(const struct boot_file *source)
{
	log_error("a signal came while the %s '%s' was read", source->what, source->name);
	return -EINTR;
}

/* Reads the next piece of the pipe. Returns its length, 0 at the end, or -errno after an error message. */
static ssize_t pipe_read(const struct boot_file *source, char data[CHUNK])
{
	ssize_t n = read_next(source->fd, data, CHUNK, BOOT_FILE_SILENCE_S * 1000);
	if (n == -EINTR)
		return interrupted(source);
	if (n == -ETIMEDOUT)
		log_error(
			"no data came through the pipe '%s' for %d seconds: check that the %s is written to it",
			source->name, BOOT_FILE_SILENCE_S, source->what);
	else if (n < 0)
		cannot(source, "read", (int)-n);
	return n;
}

/* Copies all data from source->fd to @copy; source->size counts the bytes. */
static int pipe_copy(struct boot_file *source, int copy, uint64_t limit)
{
	char data[CHUNK];
	for (;;) {
		ssize_t n = pipe_read(source, data);
		if (n <= 0)
			return (int)n;
		if ((uint64_t)n > limit - source->size) {
			log_error("the %s '%s' is larger than the guest's memory", source->what,
				  source->name);
			return -EFBIG;
		}
		int error = write_all(copy, data, (size_t)n);
		if (error)
			return cannot(source, "copy", -error);
		source->size += (uint64_t)n;
	}
}

/*
 * Gives up writing to @copy: the sandbox lets files grow to the size of the largest that can be written to. Without /proc
 * it stays as it is.
 */
static int read_only(int copy)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", copy);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return copy;
	close(copy);
	return fd;
}

static int pipe_take(struct boot_file *source, uint64_t limit)
{
	int copy = memfd_create(source->what, MFD_CLOEXEC);
	if (copy < 0)
		return cannot(source, "copy", errno);
	int error = pipe_copy(source, copy, limit);
	close(source->fd);
	source->fd = read_only(copy);
	return error;
}

int boot_file_open(struct boot_file *source, const char *path, const char *name, const char *what,
		   uint64_t limit)
{
	*source = (struct boot_file){name ? name : path, what, -1, 0};
	struct stat status;

	/* Do not wait here for a pipe's writer, without a limit. Regular files ignore the flag. */
	source->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (source->fd < 0 || fstat(source->fd, &status) < 0)
		return cannot(source, "open", errno);
	if (S_ISFIFO(status.st_mode))
		return pipe_take(source, limit);
	if (!S_ISREG(status.st_mode)) {
		log_error("the %s '%s' is neither a regular file nor a pipe", what, source->name);
		return -EINVAL;
	}
	source->size = status.st_size;
	return 0;
}

void boot_file_close(struct boot_file *source)
{
	if (source->fd >= 0)
		close(source->fd);
	source->fd = -1;
}

int boot_file_read(const struct boot_file *source, uint64_t offset, void *to, uint64_t size)
{
	for (uint64_t done = 0; done < size;) {
		if (done && signal_waits())
			return interrupted(source);
		uint64_t piece = size - done < PIECE ? size - done : PIECE;
		ssize_t n = pread(source->fd, (char *)to + done, piece, offset + done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			int error = n < 0 ? errno : EIO;
			log_error("cannot read the %s '%s': %s", source->what, source->name,
				  n < 0 ? strerror(error) : "it became shorter while it was read");
			return -error;
		}
		done += n;
	}
	return 0;
}
