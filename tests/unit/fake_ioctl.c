// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/fake_ioctl.h"

#include <stdarg.h>

int (*fake_ioctl)(int fd, unsigned long request, void *argument);

int __real_ioctl(int fd, unsigned long request, void *argument);
int __wrap_ioctl(int fd, unsigned long request, ...);

/* The linker has all calls come here (UNIT_WRAP). */
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list args;

	va_start(args, request);
	void *argument = va_arg(args, void *);
	va_end(args);
	return fake_ioctl ? fake_ioctl(fd, request, argument) : __real_ioctl(fd, request, argument);
}
