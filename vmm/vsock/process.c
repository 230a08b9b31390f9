// SPDX-License-Identifier: Apache-2.0
/* The dialer's process. It was forked from ebb, and first gives up everything of ebb's: descriptors, signals, terminal. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/lib/pass_fd.h"
#include "vmm/vsock/dialer.h"

#define CONTROL 3

static void let_go(int control)
{
	const struct sigaction normal = {.sa_handler = SIG_DFL};
	sigset_t none;

	/* Move it out of the way of the three standard streams. */
	control = fcntl(control, F_DUPFD, CONTROL);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int number = 1; number < NSIG; number++)
		sigaction(number, &normal, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* No key of the terminal may end it before ebb, and it may not keep ebb's pipes open. */
	setsid();
	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	if (control != CONTROL)
		dup2(control, CONTROL);
	syscall(SYS_close_range, CONTROL + 1U, ~0U, 0);
	prctl(PR_SET_NAME, "vsock-dialer");
}

void dialer_remove(const struct dialer_file *file)
{
	struct stat now;

	if (lstat(file->path, &now) == 0 && now.st_dev == file->device && now.st_ino == file->inode)
		unlink(file->path);
}

/* Returns a socket, or -errno: -EAGAIN if too many wait to be accepted there. */
static int dial(const char *path, uint32_t port)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s_%u", path, port);
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	int error = errno;
	close(fd);
	return -error;
}

/* Waits while ebb has not taken the earlier answers. Returns 0, or -errno if it has ended. */
static int answer(uint64_t call, int fd)
{
	struct dialer_answer note = {.call = call, .error = fd < 0 ? -fd : 0};
	int error = 0;

	while (pass_fd_send(CONTROL, &note, sizeof(note), fd) < 0 && !error)
		error = errno == EINTR ? 0 : -errno;
	if (fd >= 0)
		close(fd);
	return error;
}

void dialer_run(const struct dialer_file *file, int control)
{
	struct dialer_question question;
	int error = 0;

	let_go(control);
	while (!error) {
		ssize_t got = recv(CONTROL, &question, sizeof(question), 0);
		if (got == sizeof(question))
			error = answer(question.call, dial(file->path, question.port));
		else if (got >= 0 || errno != EINTR)
			error = -EPIPE;
	}
	dialer_remove(file);
	_exit(0);
}
