// SPDX-License-Identifier: Apache-2.0
#include "vmm/arch/boot_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/lib/log.h"

int boot_file_open(struct boot_file *source, const char *path, const char *what)
{
	*source = (struct boot_file){path, what, -1, 0};
	struct stat status;

	/* Not to wait for a pipe's writer: it is refused below. Regular files do not mind. */
	source->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (source->fd < 0 || fstat(source->fd, &status) < 0) {
		int error = errno;
		log_error("cannot open the %s '%s': %s", what, path, strerror(error));
		return -error;
	}
	if (!S_ISREG(status.st_mode)) {
		log_error("the %s '%s' is not a regular file", what, path);
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

/* Reads @size bytes at @offset, all of them, straight to where they belong. */
int boot_file_read(const struct boot_file *source, uint64_t offset, void *to, uint64_t size)
{
	for (uint64_t done = 0; done < size;) {
		ssize_t n = pread(source->fd, (char *)to + done, size - done, offset + done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			int error = n < 0 ? errno : EIO;
			log_error("cannot read the %s '%s': %s", source->what, source->path,
				  n < 0 ? strerror(error) : "it became shorter meanwhile");
			return -error;
		}
		done += n;
	}
	return 0;
}
