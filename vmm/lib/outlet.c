// SPDX-License-Identifier: Apache-2.0
/*
 * Theory of operation
 *
 * A terminal or pipe is opened once more, non-blocking. If that is refused, because root or a
 * service manager's user made the pipe, splice(2) from a pipe of our own can be told not to wait,
 * no matter what flags the description has: it moves the one buffer or fails with EAGAIN. poll(2)
 * and a blocking write(2) would not do: another process that shares the pipe can fill it between
 * the two calls.
 */
#include "vmm/lib/outlet.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

int outlet_reopen(int fd, int access)
{
	struct stat st;
	unsigned int pty;
	char path[32];
	if (fstat(fd, &st) < 0)
		return -1;
	/* Opening the master's side of a pseudo-terminal would make a new pseudo-terminal. */
	if (!S_ISFIFO(st.st_mode) && (!isatty(fd) || ioctl(fd, TIOCGPTN, &pty) == 0))
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

static enum outlet_kind kind_of(int fd)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return OUTLET_PLAIN;
	if (S_ISSOCK(st.st_mode))
		return OUTLET_SOCKET;
	if (S_ISFIFO(st.st_mode))
		return OUTLET_PIPE;
	return isatty(fd) ? OUTLET_TERMINAL : OUTLET_PLAIN;
}

void outlet_init_as(struct outlet *outlet, int fd, enum outlet_kind kind)
{
	*outlet = (struct outlet){.fd = fd,
				  .given = fd,
				  .kind = kind,
				  .pipe = {-1, -1},
				  .lock = PTHREAD_MUTEX_INITIALIZER};
	if (kind == OUTLET_PIPE && pipe2(outlet->pipe, O_CLOEXEC | O_NONBLOCK) < 0)
		outlet->kind = OUTLET_PLAIN;
}

void outlet_init(struct outlet *outlet, int fd)
{
	int own = outlet_reopen(fd, O_WRONLY);
	outlet_init_as(outlet, fd, own < 0 ? kind_of(fd) : OUTLET_PLAIN);
	if (own >= 0)
		outlet->fd = own;
}

void outlet_release(struct outlet *outlet)
{
	if (outlet->fd != outlet->given)
		close(outlet->fd);
	for (int i = 0; i < 2; i++)
		if (outlet->pipe[i] >= 0)
			close(outlet->pipe[i]);
	outlet->fd = outlet->given;
	outlet->kind = OUTLET_PLAIN;
	outlet->pipe[0] = outlet->pipe[1] = -1;
}

/* Writes into our own empty pipe, moves the data on in one piece, and discards what is left. */
static ssize_t write_through_pipe(struct outlet *outlet, const void *data, size_t len)
{
	char back[PIPE_BUF];
	pthread_mutex_lock(&outlet->lock);
	ssize_t moved = write(outlet->pipe[1], data, len);
	if (moved > 0)
		moved = splice(outlet->pipe[0], NULL, outlet->fd, NULL, moved, SPLICE_F_NONBLOCK);
	int error = errno;
	while (read(outlet->pipe[0], back, sizeof(back)) > 0)
		;
	pthread_mutex_unlock(&outlet->lock);
	errno = error;
	return moved;
}

static ssize_t write_if_asked(struct outlet *outlet, const void *data)
{
	struct pollfd pollfd = {.fd = outlet->fd, .events = POLLOUT};
	int ready = poll(&pollfd, 1, 0);
	if (ready == 0)
		errno = EAGAIN;
	return ready > 0 ? write(outlet->fd, data, 1) : -1;
}

ssize_t outlet_write(struct outlet *outlet, const void *data, size_t len)
{
	ssize_t written;
	switch (outlet->kind) {
	case OUTLET_SOCKET:
		written = send(outlet->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	case OUTLET_PIPE:
		written = write_through_pipe(outlet, data, len < PIPE_BUF ? len : PIPE_BUF);
		break;
	case OUTLET_TERMINAL:
		written = write_if_asked(outlet, data);
		break;
	default:
		written = write(outlet->fd, data, len);
	}
	return written < 0 ? -errno : written;
}
