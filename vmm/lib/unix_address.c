// SPDX-License-Identifier: Apache-2.0
#include "vmm/lib/unix_address.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>

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
