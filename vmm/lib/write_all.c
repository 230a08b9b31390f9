// SPDX-License-Identifier: Apache-2.0
#include "vmm/lib/write_all.h"

#include <errno.h>
#include <unistd.h>

int write_all(int fd, const void *data, size_t size)
{
	for (const char *at = data, *end = at + size; at < end;) {
		ssize_t n = write(fd, at, (size_t)(end - at));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		at += n;
	}
	return 0;
}
