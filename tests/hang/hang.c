// SPDX-License-Identifier: Apache-2.0
/*
 * ebb on a host that hangs: linked with -Wl,--wrap, so that the calls below wait as long as the file that
 * EBB_HANG names is there (a minute at most). It is for tests of who waits with them.
 */
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "vmm/lib/clock.h"
#include "vmm/mem/usage.h"

int __real_fstat(int fd, struct stat *st);
int __wrap_fstat(int fd, struct stat *st);
ssize_t __real_pwritev(int fd, const struct iovec *iov, int n, off_t offset);
ssize_t __wrap_pwritev(int fd, const struct iovec *iov, int n, off_t offset);
int __real_ram_usage(const struct ram *ram, struct ram_usage *usage);
int __wrap_ram_usage(const struct ram *ram, struct ram_usage *usage);

static void hang(void)
{
	const char *file = getenv("EBB_HANG");
	for (int i = 0; file && access(file, F_OK) == 0 && i < 6000; i++)
		clock_sleep_ms(10);
}

int __wrap_fstat(int fd, struct stat *st)
{
	hang();
	return __real_fstat(fd, st);
}

ssize_t __wrap_pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
	hang();
	return __real_pwritev(fd, iov, n, offset);
}

int __wrap_ram_usage(const struct ram *ram, struct ram_usage *usage)
{
	hang();
	return __real_ram_usage(ram, usage);
}
