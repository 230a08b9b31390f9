// SPDX-License-Identifier: Apache-2.0
/*
 * The keeper: was forked from ebb before ebb entered the cgroup, so what the kernel kills in there leaves it alone.
 * It waits for ebb's end, which ebb's sandbox leaves no other way to clean up after, and for that of the processes
 * around it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/cgroup/cgroup.h"
#include "vmm/lib/child.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"

/* What serves a disk may take some seconds to write what it holds; then all that is left is killed. */
#define GENTLY_MS 15000
#define KILLED_MS 5000

/* Waits until there is no process in the cgroup @own, up to @ms. Returns whether there is none. */
static bool wait_until_empty(int own, int64_t ms)
{
	char text[CGROUP_TEXT_MAX];
	int64_t limit = clock_ms() + ms, left;
	/* The kernel tells of changes since the file was read through this descriptor. */
	struct pollfd changed = {.fd = openat(own, "cgroup.events", O_RDONLY | O_CLOEXEC),
				 .events = POLLPRI};
	bool empty = false;

	while (changed.fd >= 0) {
		ssize_t len = pread(changed.fd, text, sizeof(text) - 1, 0);
		text[len < 0 ? 0 : len] = '\0';
		empty = len >= 0 && cgroup_count(text, "populated") == 0;
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
static void say_why(int own, const char *guest)
{
	char text[CGROUP_TEXT_MAX], most[CGROUP_TEXT_MAX];

	if (cgroup_read(own, "memory.events", text) != 0 || !cgroup_count(text, "oom_kill") ||
	    cgroup_read(own, "memory.max", most) != 0)
		return;
	most[strcspn(most, "\n")] = '\0';
	log_error(
		"the kernel ended the guest \"%s\": its processes wanted more memory than the %s bytes of their cgroup; --cgroup PATH,memory=SIZE sets another limit",
		guest, most);
}

static _Noreturn void keep(int parent, int ebb, const char *folder, const char *guest)
{
	sigset_t all;
	sigfillset(&all);
	/* The working directory needs no descriptor. */
	if (fchdir(parent) < 0)
		_exit(1);
	child_begin("cgroup-keeper", ebb, &all, true);
	struct pollfd end = {.fd = CHILD_CONTROL, .events = POLLIN};
	while (poll(&end, 1, -1) < 0 && errno == EINTR)
		;
	int own = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (own >= 0) {
		if (!wait_until_empty(own, GENTLY_MS)) {
			cgroup_write(own, "cgroup.kill", "1"); /* Linux 5.14 */
			wait_until_empty(own, KILLED_MS);
		}
		say_why(own, guest);
		rmdir(folder);
	}
	_exit(0);
}

int cgroup_keep(int parent, const char *folder, const char *guest)
{
	int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
	if (self < 0)
		return -errno;
	pid_t child = fork();
	int error = child < 0 ? -errno : 0;
	if (child == 0)
		keep(parent, self, folder, guest);
	close(self);
	return error;
}
