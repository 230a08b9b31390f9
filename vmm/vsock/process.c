// SPDX-License-Identifier: Apache-2.0
/* The dialer's process. It was forked from ebb, and first gives up everything of ebb's: descriptors, signals, terminal. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/lib/child.h"
#include "vmm/lib/pass_fd.h"
#include "vmm/lib/unix_address.h"
#include "vmm/vsock/dialer.h"

/* Returns a socket, or -errno: -EAGAIN if too many wait to be accepted there. */
static int dial(const char *path, uint32_t port)
{
	struct sockaddr_un address;
	int error = unix_address(&address, "%s_%u", path, port);

	return error ? error : unix_connect(&address);
}

/* Waits while ebb has not taken the earlier answers. Returns 0, or -errno if it has ended. */
static int answer(uint64_t call, int fd)
{
	struct dialer_answer note = {.call = call, .error = fd < 0 ? -fd : 0};
	int error = 0;

	while (pass_fd_send(CHILD_CONTROL, &note, sizeof(note), fd) < 0 && !error)
		error = errno == EINTR ? 0 : -errno;
	if (fd >= 0)
		close(fd);
	return error;
}

void dialer_run(const struct socket_file *file, int control)
{
	struct dialer_question question;
	sigset_t none;
	int error = 0;

	sigemptyset(&none);
	child_begin("vsock-dialer", control, &none, false);
	while (!error) {
		ssize_t got = recv(CHILD_CONTROL, &question, sizeof(question), 0);
		if (got == sizeof(question))
			error = answer(question.call, dial(file->path, question.port));
		else if (got >= 0 || errno != EINTR)
			error = -EPIPE;
	}
	socket_file_remove(file);
	_exit(0);
}
