// SPDX-License-Identifier: Apache-2.0
/* ebb's side: the socket, the process's life, and its messages. */
#include "vmm/vsock/dialer.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/lib/log.h"
#include "vmm/lib/pass_fd.h"

static void say_why(const char *path, int error)
{
	if (error == -EADDRINUSE)
		log_error("cannot use %s for the guest's vsock: a program listens there; name "
			  "another path with --vsock PATH",
			  path);
	else if (error == -ENOTSOCK)
		log_error("cannot use %s for the guest's vsock: it exists and is not a socket; "
			  "name another path with --vsock PATH",
			  path);
	else
		log_error("cannot make the socket %s for the guest's vsock: %s; name a path in "
			  "a directory of yours with --vsock PATH",
			  path, strerror(-error));
}

/* --- the process ----------------------------------------------------------------------------- */

static void run(const void *file, int control)
{
	dialer_run(file, control);
}

int dialer_start(struct dialer *dialer, const char *path)
{
	struct socket_file file = {.path = path};

	dialer->child = CHILD_NONE;
	int listener = socket_file_listen(&file, SOCKET_FILE_NO_GROUP);
	if (listener < 0) {
		say_why(path, listener);
		return listener;
	}
	int error = child_start(&dialer->child, run, &file);
	if (!error)
		return listener;
	log_error("cannot start the process that connects for the guest: %s", strerror(-error));
	close(listener);
	socket_file_remove(&file);
	return error;
}

void dialer_stop(struct dialer *dialer)
{
	child_stop(&dialer->child);
}

/* --- messages -------------------------------------------------------------------------------- */

int dialer_ask(struct dialer *dialer, uint64_t call, uint32_t port)
{
	const struct dialer_question question = {.call = call, .port = port};

	if (dialer->child.control < 0)
		return -EPIPE;
	ssize_t sent = send(dialer->child.control, &question, sizeof(question),
			    MSG_NOSIGNAL | MSG_DONTWAIT);
	return sent < 0 ? -errno : 0;
}

int dialer_take(struct dialer *dialer, uint64_t *call, int *fd)
{
	struct dialer_answer note = {};

	ssize_t got = pass_fd_receive(dialer->child.control, &note, sizeof(note), fd);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return -EAGAIN;
	if (got != sizeof(note))
		return -EPIPE;
	*call = note.call;
	/* Without room for another descriptor, the message comes without its own. */
	if (*fd < 0)
		*fd = note.error ? -note.error : -EMFILE;
	return 0;
}
