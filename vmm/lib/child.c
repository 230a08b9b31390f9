// SPDX-License-Identifier: Apache-2.0
#include "vmm/lib/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* It only has to notice that the parent's end is closed. */
#define STOP_MS 1000

void child_begin(const char *name, int control, const sigset_t *blocked, bool speaks)
{
	const struct sigaction normal = {.sa_handler = SIG_DFL}, ignored = {.sa_handler = SIG_IGN};

	/* Move it out of the way of the three standard streams. */
	control = fcntl(control, F_DUPFD, CHILD_CONTROL);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int number = 1; number < NSIG; number++)
		sigaction(number, &normal, NULL);
	/* As in ebb: what nobody reads, or a file that may not grow, is an error of write(2). */
	if (speaks) {
		sigaction(SIGPIPE, &ignored, NULL);
		sigaction(SIGXFSZ, &ignored, NULL);
	}
	sigprocmask(SIG_SETMASK, blocked, NULL);
	setsid();
	for (int fd = 0; fd < (speaks ? STDERR_FILENO : CHILD_CONTROL); fd++)
		dup2(null, fd);
	/* At a known number, so that all other descriptors can be closed. */
	if (control != CHILD_CONTROL)
		dup2(control, CHILD_CONTROL);
	syscall(SYS_close_range, CHILD_CONTROL + 1U, ~0U, 0);
	fcntl(CHILD_CONTROL, F_SETFD, FD_CLOEXEC);
	prctl(PR_SET_NAME, name);
}

int child_start(struct child *child, void (*run)(const void *ctx, int control), const void *ctx)
{
	int pair[2];

	*child = CHILD_NONE;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	child->process = fork();
	if (child->process == 0) {
		run(ctx, pair[1]);
		_exit(0);
	}
	int error = child->process < 0 ? -errno : 0;
	close(pair[1]);
	if (!error) {
		child->pidfd = (int)syscall(SYS_pidfd_open, child->process, 0);
		error = child->pidfd < 0 ? -errno : 0;
	}
	if (!error) {
		child->control = pair[0];
		return 0;
	}
	close(pair[0]); /* it ends, if it was started */
	if (child->process > 0)
		waitpid(child->process, NULL, 0);
	*child = CHILD_NONE;
	return error;
}

void child_stop(struct child *child)
{
	struct pollfd ended = {.fd = child->pidfd, .events = POLLIN};

	if (child->process > 0) {
		close(child->control);
		/* By its descriptor: the sandbox refuses signals to a PID, which can be any process. */
		if (poll(&ended, 1, STOP_MS) <= 0)
			syscall(SYS_pidfd_send_signal, child->pidfd, SIGKILL, NULL, 0);
		while (waitpid(child->process, NULL, 0) < 0 && errno == EINTR)
			;
		close(child->pidfd);
	}
	*child = CHILD_NONE;
}
