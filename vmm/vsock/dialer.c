// SPDX-License-Identifier: Apache-2.0
/* ebb's side: the socket, the process's life, and its messages. */
#include "vmm/vsock/dialer.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/lib/log.h"
#include "vmm/lib/pass_fd.h"
#include "vmm/lib/unix_address.h"

/* The process only has to notice that ebb's end is closed. */
#define STOP_MS 1000
#define BACKLOG 128

/* --- the socket ------------------------------------------------------------------------------ */

/* Removes a socket that a guest left behind. Returns 0; -EADDRINUSE if another one listens there; or -ENOTSOCK. */
static int make_way(int fd, const struct sockaddr_un *address)
{
	struct stat there;

	if (lstat(address->sun_path, &there) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(there.st_mode))
		return -ENOTSOCK;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
	    errno != ECONNREFUSED)
		return -EADDRINUSE;
	return unlink(address->sun_path) < 0 ? -errno : 0;
}

static int new_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return fd < 0 ? -errno : fd;
}

static int look(const struct sockaddr_un *address)
{
	int fd = new_socket();
	int error = fd < 0 ? fd : make_way(fd, address);

	if (fd >= 0)
		close(fd);
	return error;
}

/* bind() makes the file with the socket's mode less the umask: it is never open to other users. */
static int bind_private(int fd, const struct sockaddr_un *address, struct dialer_file *file)
{
	struct stat made;

	if (fchmod(fd, 0600) < 0 ||
	    bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
		return -errno;
	int error = 0;
	/* The bits that the umask took away; nobody can connect before listen(). */
	if (chmod(file->path, 0600) < 0 || lstat(file->path, &made) < 0 || listen(fd, BACKLOG) < 0)
		error = -errno;
	if (error) {
		unlink(file->path);
		return error;
	}
	file->device = made.st_dev;
	file->inode = made.st_ino;
	return 0;
}

static int listen_at(struct dialer_file *file)
{
	struct sockaddr_un address;
	int error = unix_address(&address, "%s", file->path);

	if (!error)
		error = look(&address);
	int fd = error ? error : new_socket();
	if (fd < 0)
		return fd;
	error = bind_private(fd, &address, file);
	if (!error)
		return fd;
	close(fd);
	return error;
}

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

/* Returns 0 or -errno. */
static int start_process(struct dialer *dialer, const struct dialer_file *file)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	dialer->process = fork();
	if (dialer->process == 0)
		dialer_run(file, pair[1]);
	int error = dialer->process < 0 ? -errno : 0;
	close(pair[1]);
	if (!error) {
		dialer->pidfd = (int)syscall(SYS_pidfd_open, dialer->process, 0);
		error = dialer->pidfd < 0 ? -errno : 0;
	}
	if (!error) {
		dialer->control = pair[0];
		return 0;
	}
	close(pair[0]); /* it ends, if it was started */
	if (dialer->process > 0)
		waitpid(dialer->process, NULL, 0);
	*dialer = (struct dialer){.control = -1};
	return error;
}

int dialer_start(struct dialer *dialer, const char *path)
{
	struct dialer_file file = {.path = path};

	*dialer = (struct dialer){.control = -1};
	int listener = listen_at(&file);
	if (listener < 0) {
		say_why(path, listener);
		return listener;
	}
	int error = start_process(dialer, &file);
	if (!error)
		return listener;
	log_error("cannot start the process that connects for the guest: %s", strerror(-error));
	close(listener);
	dialer_remove(&file);
	return error;
}

void dialer_stop(struct dialer *dialer)
{
	struct pollfd ended = {.fd = dialer->pidfd, .events = POLLIN};

	if (dialer->process > 0) {
		close(dialer->control);
		/* By its descriptor: the sandbox refuses signals to a PID, which can be any process. */
		if (poll(&ended, 1, STOP_MS) <= 0)
			syscall(SYS_pidfd_send_signal, dialer->pidfd, SIGKILL, NULL, 0);
		while (waitpid(dialer->process, NULL, 0) < 0 && errno == EINTR)
			;
		close(dialer->pidfd);
	}
	*dialer = (struct dialer){.control = -1};
}

/* --- messages -------------------------------------------------------------------------------- */

int dialer_ask(struct dialer *dialer, uint64_t call, uint32_t port)
{
	const struct dialer_question question = {.call = call, .port = port};

	if (dialer->control < 0)
		return -EPIPE;
	ssize_t sent =
		send(dialer->control, &question, sizeof(question), MSG_NOSIGNAL | MSG_DONTWAIT);
	return sent < 0 ? -errno : 0;
}

int dialer_take(struct dialer *dialer, uint64_t *call, int *fd)
{
	struct dialer_answer note = {};

	ssize_t got = pass_fd_receive(dialer->control, &note, sizeof(note), fd);
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
