// SPDX-License-Identifier: Apache-2.0
#include "vmm/lib/unix_address.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

int unix_address(struct sockaddr_un *address, const char *format, ...)
{
	const size_t size = sizeof(address->sun_path);
	va_list args;

	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	va_start(args, format);
	int len = vsnprintf(address->sun_path, size, format, args);
	va_end(args);
	return len >= 0 && (size_t)len < size ? 0 : -ENAMETOOLONG;
}

int unix_connect(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
		return fd;
	int error = -errno;
	close(fd);
	return error;
}
