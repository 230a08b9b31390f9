// SPDX-License-Identifier: Apache-2.0
#include "vmm/lib/child.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

void child_begin(const char *name, int control, const sigset_t *blocked, bool speaks)
{
	const struct sigaction normal = {.sa_handler = SIG_DFL};

	/* Move it out of the way of the three standard streams. */
	control = fcntl(control, F_DUPFD, CHILD_CONTROL);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int number = 1; number < NSIG; number++)
		sigaction(number, &normal, NULL);
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
