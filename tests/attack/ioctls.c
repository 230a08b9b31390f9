// SPDX-License-Identifier: Apache-2.0
#include "tests/attack/ioctls.h"

#include <stddef.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096
#define TOLD 100

struct ioctls {
	char told[16 * TOLD], *at;
	unsigned int tried, passed;
};

/* Of a descriptor that is not open, so that one that passes the filter does nothing. */
static void try_ioctl(struct ioctls *ioctls, unsigned int request)
{
	ioctls->tried++;
	if (syscall(SYS_ioctl, -1, request, NULL) == 0 || errno == REFUSED)
		return;
	if (ioctls->passed++ < TOLD)
		ioctls->at += sprintf(ioctls->at, " 0x%x", request);
}

/* All that the kernel numbered by hand; and all that KVM, vhost, terminals and taps may have, with up to a page of data. */
long try_ioctls(void)
{
	static const unsigned int types[] = {0xae, 0xaf, 'T'};
	static struct ioctls ioctls;

	ioctls.at = ioctls.told;
	for (unsigned int request = 0; request < 0x10000; request++)
		try_ioctl(&ioctls, request);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		for (unsigned int nr = 0; nr < 0x100; nr++)
			for (unsigned int size = 0; size <= PAGE; size++)
				for (unsigned int way = 1; way < 4; way++)
					try_ioctl(&ioctls, _IOC(way, types[i], nr, size));
	/* Not dprintf(3), which asks where in a file it is. */
	static char line[sizeof(ioctls.told) + 64];
	int len = sprintf(line, "attack: %u ioctls of %u:%s\n", ioctls.passed, ioctls.tried,
			  ioctls.told);
	return write(STDERR_FILENO, line, (size_t)len) == len ? 0 : -1;
}
