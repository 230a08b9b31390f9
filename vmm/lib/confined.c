// SPDX-License-Identifier: Apache-2.0
#include "vmm/lib/confined.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/lib/confine.h"
#include "vmm/lib/read_all.h"
#include "vmm/lib/write_all.h"

static int compare(const void *left, const void *right)
{
	const int *a = left, *b = right;
	return *a < *b ? -1 : *a > *b;
}

/* Closes all but @keep, the standard streams too. Returns 0 or -errno. */
static int close_others(int *keep, unsigned int count)
{
	unsigned int next = 0;

	qsort(keep, count, sizeof(*keep), compare);
	for (unsigned int i = 0; i < count; i++) {
		if (keep[i] <= STDERR_FILENO || (unsigned int)keep[i] < next)
			continue;
		unsigned int fd = (unsigned int)keep[i];
		if (fd > next && close_range(next, fd - 1, 0) != 0)
			return -errno;
		next = fd + 1;
	}
	return close_range(next, ~0U, 0) != 0 ? -errno : 0;
}

/* A process that is not confined answers by one byte alone. */
static _Noreturn void child(const struct confined *confined, void *reply, int to, pid_t parent)
{
	int keep[CONFINED_FDS_MAX + 1];

	/* One that has ended before this sends no signal. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
		_exit(1);
	memcpy(keep, confined->fd, confined->fds * sizeof(*keep));
	keep[confined->fds] = to;
	/* A peer or a reader that has ended is an error like others. */
	signal(SIGPIPE, SIG_IGN);
	int error = close_others(keep, confined->fds + 1);
	if (!error)
		error = confine_self(confined->cpu_s, confined->file_max);
	memset(reply, 0, confined->size);
	if (!error)
		confined->work(confined->ctx, reply);
	_exit(write_all(to, reply, error ? 1 : confined->size) == 0 ? 0 : 1);
}

int confined_run(const struct confined *confined, void *reply)
{
	int pipes[2];
	pid_t parent = getpid();

	if (pipe2(pipes, O_CLOEXEC) != 0)
		return -errno;
	pid_t pid = fork();
	if (pid == 0)
		child(confined, reply, pipes[1], parent);
	int error = pid < 0 ? -errno : 0;
	close(pipes[1]);
	if (!error) {
		ssize_t got = read_all(pipes[0], reply, confined->size, confined->limit_ms);
		if (got < 0)
			error = (int)got;
		else if ((size_t)got != confined->size)
			error = got == 1 ? -EPERM : -EIO;
	}
	close(pipes[0]);
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	return error;
}

/* The most that the kernel's own calls return. */
#define ERRNO_MAX 4095

bool confined_is_error(int error)
{
	return error < 0 && error >= -ERRNO_MAX;
}

const char *confined_error(int error)
{
	switch (error) {
	case -EPERM:
		return "cannot be confined on this host";
	case -ETIMEDOUT:
		return "took too long";
	case -EINTR:
		return "was ended by a signal";
	case -EIO:
		return "failed";
	default:
		return strerror(-error);
	}
}
