// SPDX-License-Identifier: Apache-2.0
#include "vmm/lib/pass_fd.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union room {
	char space[CMSG_SPACE(PASS_FDS_MAX * sizeof(int))];
	struct cmsghdr align;
};

static ssize_t transmit(int socket, const void *note, size_t len, const int *fd, unsigned int fds,
			int flags)
{
	union room room = {{0}};
	struct iovec iov = {(void *)note, len};
	size_t size = fds * sizeof(*fd);
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = room.space,
				 .msg_controllen = CMSG_SPACE(size)};

	struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	*c = (struct cmsghdr){CMSG_LEN(size), SOL_SOCKET, SCM_RIGHTS};
	memcpy(CMSG_DATA(c), fd, size);
	return sendmsg(socket, &message, MSG_NOSIGNAL | flags);
}

/* Without a descriptor by another call: ebb's keeper must not be able to pass one (vmm/sandbox). */
static ssize_t transmit_one(int socket, const void *note, size_t len, int fd, int flags)
{
	return fd < 0 ? send(socket, note, len, MSG_NOSIGNAL | flags)
		      : transmit(socket, note, len, &fd, 1, flags);
}

ssize_t pass_fd_send(int socket, const void *note, size_t len, int fd)
{
	return transmit_one(socket, note, len, fd, 0);
}

ssize_t pass_fd_send_now(int socket, const void *note, size_t len, int fd)
{
	return transmit_one(socket, note, len, fd, MSG_DONTWAIT);
}

ssize_t pass_fds_send_now(int socket, const void *note, size_t len, const int *fd, unsigned int fds)
{
	return transmit(socket, note, len, fd, fds, MSG_DONTWAIT);
}

ssize_t pass_fd_receive(int socket, void *note, size_t len, int *fd)
{
	return pass_fds_receive(socket, note, len, fd, 1);
}

/* If at least as many came as are wanted, the others are closed, else all. */
static void take(const struct cmsghdr *c, int *fd, unsigned int fds)
{
	int got[PASS_FDS_MAX];
	size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(*got), taken = count < fds ? 0 : fds;

	memcpy(got, CMSG_DATA(c), count * sizeof(*got));
	memcpy(fd, got, taken * sizeof(*got));
	for (size_t i = taken; i < count; i++)
		close(got[i]);
}

ssize_t pass_fds_receive(int socket, void *note, size_t len, int *fd, unsigned int fds)
{
	union room room;
	struct iovec iov = {note, len};
	/* Room for all of any message of ours: what has none the kernel cuts off, but QEMU's user mode leaves it open. */
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = room.space,
				 .msg_controllen = CMSG_LEN(PASS_FDS_MAX * sizeof(*fd))};

	for (unsigned int i = 0; i < fds; i++)
		fd[i] = -1;
	ssize_t got = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	for (struct cmsghdr *c = got < 0 ? NULL : CMSG_FIRSTHDR(&message); c;
	     c = CMSG_NXTHDR(&message, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			take(c, fd, fds);
	return got;
}
