// SPDX-License-Identifier: Apache-2.0
#include "vmm/sandbox/descriptors.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define NUMBERS_MAX (1U << 20) /* Linux's default of fs.nr_open */
/*
 * More than a guest needs: a client of the control socket each, a network's next socket. But the kernel
 * also lets a process send no descriptor while more than this are on their way in sockets, those of all
 * the user's processes: so it is what every program has.
 */
#define OPEN_MAX_LEFT 1024
#define SPARE	      64

/* --- each of them ---------------------------------------------------------------------------- */

typedef void visit(int fd, void *ctx);

/* Without /proc there is no list: tries every number that a descriptor can have. */
static int try_all_numbers(visit *each, void *ctx)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	for (rlim_t fd = 0; fd < limit.rlim_max && fd < NUMBERS_MAX; fd++)
		each((int)fd, ctx);
	return 0;
}

static int visit_all(visit *each, void *ctx)
{
	DIR *all = opendir("/proc/self/fd");
	struct dirent *entry;
	if (!all)
		return try_all_numbers(each, ctx);
	do {
		errno = 0;
		entry = readdir(all);
		if (entry && entry->d_name[0] != '.')
			each(atoi(entry->d_name), ctx);
	} while (entry);
	int error = -errno;
	closedir(all);
	return error;
}

/* --- closing and limiting -------------------------------------------------------------------- */

static void close_if_inherited(int fd, void *ctx)
{
	int flags = fcntl(fd, F_GETFD);
	(void)ctx;
	if (fd > STDERR_FILENO && flags >= 0 && !(flags & FD_CLOEXEC))
		close(fd);
}

int descriptors_close_inherited(void)
{
	return visit_all(close_if_inherited, NULL);
}

struct extent {
	rlim_t numbers;
	rlim_t size; /* of the largest file */
	bool grows;  /* standard output or error is a file, which has no last size */
};

static void measure(int fd, void *ctx)
{
	struct extent *extent = ctx;
	struct stat st;
	if (fstat(fd, &st) < 0)
		return;
	if ((rlim_t)fd >= extent->numbers)
		extent->numbers = (rlim_t)fd + 1;
	/* Not what can only be read, such as a kernel. */
	if (!S_ISREG(st.st_mode) || (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY)
		return;
	extent->grows |= fd == STDOUT_FILENO || fd == STDERR_FILENO;
	if ((rlim_t)st.st_size > extent->size)
		extent->size = (rlim_t)st.st_size;
}

/* Never more than before. */
static int lower(int resource, rlim_t most)
{
	struct rlimit limit;
	if (getrlimit(resource, &limit) < 0)
		return -errno;
	limit.rlim_cur = limit.rlim_cur < most ? limit.rlim_cur : most;
	limit.rlim_max = limit.rlim_max < most ? limit.rlim_max : most;
	return setrlimit(resource, &limit) < 0 ? -errno : 0;
}

static int limit(bool numbers)
{
	struct extent extent = {0};
	int error = visit_all(measure, &extent);
	rlim_t most = extent.numbers + SPARE;
	if (!error && numbers)
		error = lower(RLIMIT_NOFILE, most > OPEN_MAX_LEFT ? most : OPEN_MAX_LEFT);
	if (!error && !extent.grows)
		error = lower(RLIMIT_FSIZE, extent.size);
	return error;
}

int descriptors_limit(void)
{
	return limit(true);
}

int descriptors_limit_sizes(void)
{
	return limit(false);
}
