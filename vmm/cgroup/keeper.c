// SPDX-License-Identifier: Apache-2.0
/*
 * The keeper: was forked from ebb before ebb entered the cgroup, so what the kernel kills in there leaves it alone.
 * It waits for ebb's end, which ebb's sandbox leaves no other way to clean up after, and for that of the processes
 * around it.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/cgroup/cgroup.h"
#include "vmm/lib/child.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"

bool cgroup_wait_until_empty(int own, int64_t ms)
{
	char text[CGROUP_TEXT_MAX];
	int64_t limit = clock_ms() + ms, left;
	/* The kernel tells of changes since the file was read through this descriptor. */
	struct pollfd changed = {.fd = openat(own, "cgroup.events", O_RDONLY | O_CLOEXEC),
				 .events = POLLPRI};
	bool empty = changed.fd < 0;

	while (!empty) {
		ssize_t len = pread(changed.fd, text, sizeof(text) - 1, 0);
		text[len < 0 ? 0 : len] = '\0';
		empty = cgroup_count(text, "populated") == 0; /* or it is gone */
		left = limit - clock_ms();
		if (empty || left <= 0)
			break;
		poll(&changed, 1, (int)left);
	}
	if (changed.fd >= 0)
		close(changed.fd);
	return empty;
}

/* A process that the kernel has killed cannot say so itself. */
static void say_why(const char *guest)
{
	char text[CGROUP_TEXT_MAX], most[CGROUP_TEXT_MAX];

	if (cgroup_read(AT_FDCWD, "memory.events", text) != 0 || !cgroup_count(text, "oom_kill") ||
	    cgroup_read(AT_FDCWD, "memory.max", most) != 0)
		return;
	most[strcspn(most, "\n")] = '\0';
	/* What any OOM killer kills is counted as "oom_kill"; as "oom" only what this cgroup's limit refuses. */
	if (!cgroup_count(text, "oom"))
		log_error(
			"the kernel ended the guest \"%s\": the host, or a cgroup above the guest's, was out of memory; start fewer guests, or smaller ones (-m), or 'ebb keeper'",
			guest);
	else
		log_error(
			"the kernel ended the guest \"%s\": its processes wanted more memory than the %s bytes of their cgroup; --cgroup PATH,memory=SIZE sets another limit",
			guest, most);
}

/* By then another cgroup may have its name: that of the next guest. */
static void remove_own(const char *folder)
{
	char path[sizeof("../") + NAME_MAX];
	struct stat own, named;

	snprintf(path, sizeof(path), "../%s", folder);
	if (stat(".", &own) == 0 && stat(path, &named) == 0 && own.st_ino == named.st_ino)
		rmdir(path);
}

static _Noreturn void keep(int own, int ebb, const char *folder, const char *guest)
{
	sigset_t all;
	sigfillset(&all);
	/* The working directory needs no descriptor, and is this cgroup whatever its name comes to mean. */
	if (fchdir(own) < 0)
		_exit(1);
	child_begin("cgroup-keeper", ebb, &all, true);
	struct pollfd end = {.fd = CHILD_CONTROL, .events = POLLIN};
	while (poll(&end, 1, -1) < 0 && errno == EINTR)
		;
	if (!cgroup_wait_until_empty(AT_FDCWD, CGROUP_GENTLY_MS)) {
		cgroup_write(AT_FDCWD, "cgroup.kill", "1"); /* Linux 5.14 */
		cgroup_wait_until_empty(AT_FDCWD, CGROUP_KILLED_MS);
	}
	say_why(guest);
	remove_own(folder);
	_exit(0);
}

int cgroup_keep(int own, const char *folder, const char *guest)
{
	int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
	if (self < 0)
		return -errno;
	pid_t child = fork();
	int error = child < 0 ? -errno : 0;
	if (child == 0)
		keep(own, self, folder, guest);
	close(self);
	return error;
}
