// SPDX-License-Identifier: Apache-2.0
#include "vmm/lib/pass_fd.h"

#include <string.h>
#include <sys/socket.h>

union room {
	char space[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

static ssize_t transmit(int socket, const void *note, size_t len, int fd, int flags)
{
	union room room = {{0}};
	struct iovec iov = {(void *)note, len};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = room.space,
				 .msg_controllen = sizeof(room.space)};

	/* By another call: ebb's keeper must not be able to pass descriptors (vmm/sandbox). */
	if (fd < 0)
		return send(socket, note, len, MSG_NOSIGNAL | flags);
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	*c = (struct cmsghdr){CMSG_LEN(sizeof(fd)), SOL_SOCKET, SCM_RIGHTS};
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(socket, &message, MSG_NOSIGNAL | flags);
}

ssize_t pass_fd_send(int socket, const void *note, size_t len, int fd)
{
	return transmit(socket, note, len, fd, 0);
}

ssize_t pass_fd_send_now(int socket, const void *note, size_t len, int fd)
{
	return transmit(socket, note, len, fd, MSG_DONTWAIT);
}

ssize_t pass_fd_receive(int socket, void *note, size_t len, int *fd)
{
	union room room;
	struct iovec iov = {note, len};
	/* Without the padding, which would have room for a second descriptor: that would stay open. */
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = room.space,
				 .msg_controllen = CMSG_LEN(sizeof(*fd))};

	*fd = -1;
	ssize_t got = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	for (struct cmsghdr *c = got < 0 ? NULL : CMSG_FIRSTHDR(&message); c;
	     c = CMSG_NXTHDR(&message, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
		    c->cmsg_len == CMSG_LEN(sizeof(*fd)))
			memcpy(fd, CMSG_DATA(c), sizeof(*fd));
	return got;
}
