// SPDX-License-Identifier: Apache-2.0
#include "vmm/sandbox/descriptors.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define NUMBERS_MAX (1U << 20) /* Linux's default of fs.nr_open */

static void close_if_inherited(int fd)
{
	int flags = fcntl(fd, F_GETFD);
	if (fd > STDERR_FILENO && flags >= 0 && !(flags & FD_CLOEXEC))
		close(fd);
}

/* Without /proc there is no list: tries every number that a descriptor can have. */
static int try_all_numbers(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	for (rlim_t fd = 0; fd < limit.rlim_max && fd < NUMBERS_MAX; fd++)
		close_if_inherited((int)fd);
	return 0;
}

int descriptors_close_inherited(void)
{
	DIR *all = opendir("/proc/self/fd");
	struct dirent *entry;
	if (!all)
		return try_all_numbers();
	do {
		errno = 0;
		entry = readdir(all);
		if (entry && entry->d_name[0] != '.')
			close_if_inherited(atoi(entry->d_name));
	} while (entry);
	int error = -errno;
	closedir(all);
	return error;
}
