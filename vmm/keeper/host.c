// SPDX-License-Identifier: Apache-2.0
#include "vmm/keeper/host.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/own_cgroup.h"
#include "vmm/lib/sizes.h"

/* 100 ms in 2 s: without CAP_SYS_RESOURCE the window is a multiple of 2 s (Linux 6.5). */
#define TRIGGER	    "some 100000 2000000"
#define STALL_LEAST 20000 /* microseconds between two readings: fewer are noise */
#define TEXT	    8192

/* Returns a descriptor, or -errno. */
static int open_file(const char *folder, const char *file)
{
	char path[PATH_MAX];
	if (snprintf(path, sizeof(path), "%s/%s", folder, file) >= PATH_MAX)
		return -ENAMETOOLONG;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Returns 0 with the file's beginning in @text, or -errno: @fd is that of open_file(). */
static int read_file(int fd, char text[TEXT])
{
	ssize_t len = fd < 0 ? fd : pread(fd, text, TEXT - 1, 0);
	int err = fd < 0 ? fd : len < 0 ? -errno : 0;
	text[len < 0 ? 0 : len] = '\0';
	return err;
}

static void close_file(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* Returns the number after @key, at the beginning of a line of @text, or @otherwise. */
static uint64_t number(const char *text, const char *key, uint64_t otherwise)
{
	size_t len = strlen(key);
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, len) == 0)
			return strtoull(line + len, NULL, 10);
	}
	return otherwise;
}

/* --- cgroups ------------------------------------------------------------------------------- */

/* Returns the number in a file of a cgroup; UINT64_MAX: "max", or no such file. Sets *@gone if it was there once. */
static uint64_t limit(int fd, bool *gone)
{
	char text[TEXT];
	int err = read_file(fd, text);
	*gone |= err && fd >= 0;
	return err || strncmp(text, "max", 3) == 0 ? UINT64_MAX : strtoull(text, NULL, 10);
}

/* Makes *@host as small as a cgroup is. Page cache that it holds is available to it. Sets *@gone if the cgroup was removed. */
static void narrow(const struct keeper_group *group, struct keeper_host *host, bool *gone)
{
	char text[TEXT];
	uint64_t most = min(limit(group->max, gone), limit(group->high, gone));
	uint64_t current = limit(group->current, gone);
	if (most == UINT64_MAX || current == UINT64_MAX)
		return;
	uint64_t files = 0;
	if (read_file(group->stat, text) == 0)
		files = number(text, "inactive_file ", 0) + number(text, "active_file ", 0);
	uint64_t used = less(current, files);
	host->total = min(host->total, most);
	host->available = min(host->available, most > used ? most - used : 0);
}

/* Sets @text. Returns the name of this process's cgroup in it, or NULL. */
static char *own_group(const char *proc, char text[TEXT])
{
	int fd = open_file(proc, "self/cgroup");
	int err = read_file(fd, text);
	close_file(fd);
	return err ? NULL : own_cgroup(text);
}

/* The keeper's own cgroup, and each above it but the root. */
static void open_groups(struct keeper_source *source, const char *proc, const char *cgroup)
{
	char folder[PATH_MAX];
	char text[TEXT];
	char *name = own_group(proc, text);
	char *end = name ? name + strlen(name) : NULL;
	for (; end > name && source->groups < KEEPER_GROUPS_MAX; end = strrchr(name, '/')) {
		*end = '\0';
		if (snprintf(folder, sizeof(folder), "%s%s", cgroup, name) >= PATH_MAX)
			continue;
		source->group[source->groups++] =
			(struct keeper_group){.max = open_file(folder, "memory.max"),
					      .high = open_file(folder, "memory.high"),
					      .current = open_file(folder, "memory.current"),
					      .stat = open_file(folder, "memory.stat")};
	}
	source->too_deep = end > name;
}

/* --- the host ------------------------------------------------------------------------------ */

void keeper_source_open(struct keeper_source *source, const char *proc, const char *cgroup)
{
	*source = (struct keeper_source){.meminfo = open_file(proc, "meminfo"),
					 .pressure = open_file(proc, "pressure/memory")};
	open_groups(source, proc, cgroup);
}

void keeper_source_close(struct keeper_source *source)
{
	close_file(source->meminfo);
	close_file(source->pressure);
	for (size_t i = 0; i < source->groups; i++) {
		const struct keeper_group *group = &source->group[i];
		close_file(group->max);
		close_file(group->high);
		close_file(group->current);
		close_file(group->stat);
	}
}

/* Whether tasks waited for memory, for a noticeable part of the last second. */
static bool stalls(struct keeper_source *source, uint64_t now)
{
	char text[TEXT];
	if (read_file(source->pressure, text) != 0)
		return false;
	const char *total = strstr(text, "total=");
	uint64_t stalled = total ? strtoull(total + strlen("total="), NULL, 10) : 0;
	bool stalls = source->at && stalled > source->stalled + STALL_LEAST;
	if (stalls || now >= source->at + NS_PER_S) {
		source->at = now;
		source->stalled = stalled;
	}
	return stalls;
}

int keeper_host_read(struct keeper_source *source, struct keeper_host *host, uint64_t now)
{
	char text[TEXT];
	int err = read_file(source->meminfo, text);
	if (err)
		return err;
	*host = (struct keeper_host){.total = number(text, "MemTotal:", 0) << 10,
				     .available = number(text, "MemAvailable:", 0) << 10,
				     .stalls = stalls(source, now)};
	for (size_t i = 0; i < source->groups; i++)
		narrow(&source->group[i], host, &source->gone);
	return 0;
}

uint64_t keeper_host_pressure(const struct keeper_source *source)
{
	static const char key[] = "some avg10=";
	char text[TEXT];
	if (read_file(source->pressure, text) != 0 || strncmp(text, key, strlen(key)) != 0)
		return UINT64_MAX;
	/* Always two digits after the point. */
	char *end;
	uint64_t percent = strtoull(text + strlen(key), &end, 10);
	return 100 * percent + (*end == '.' ? strtoull(end + 1, NULL, 10) : 0);
}

int keeper_host_trigger(void)
{
	int fd = open("/proc/pressure/memory", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* The kernel wants the terminator, too. */
	if (write(fd, TRIGGER, sizeof(TRIGGER)) == sizeof(TRIGGER))
		return fd;
	int err = -errno;
	close(fd);
	return err;
}
