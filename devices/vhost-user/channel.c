// SPDX-License-Identifier: Apache-2.0
#include "devices/vhost-user/channel.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "vmm/lib/clock.h"

/* Waits for @events of @socket. Returns 0, or -ETIMEDOUT at @deadline. */
static int wait_for(int socket, short events, uint64_t deadline)
{
	for (;;) {
		struct pollfd fd = {.fd = socket, .events = events};
		uint64_t now = clock_ns();
		uint64_t ms = now < deadline ? (deadline - now) / NS_PER_MS + 1 : 0;

		int n = poll(&fd, 1, ms > INT_MAX ? INT_MAX : (int)ms);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (clock_ns() >= deadline)
			return -ETIMEDOUT;
	}
}

static void add_fds(struct msghdr *message, void *space, const int *fd, unsigned int fds)
{
	message->msg_control = space;
	message->msg_controllen = CMSG_SPACE(fds * sizeof(*fd));
	struct cmsghdr *c = CMSG_FIRSTHDR(message);
	c->cmsg_len = CMSG_LEN(fds * sizeof(*fd));
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	memcpy(CMSG_DATA(c), fd, fds * sizeof(*fd));
}

int channel_send(int socket, const struct vhost_user_message *message, const int *fd,
		 unsigned int fds, uint64_t deadline)
{
	union {
		char space[CMSG_SPACE(CHANNEL_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control = {{0}};
	size_t sent = 0;

	while (sent < message->len) {
		struct iovec iov = {(void *)(message->data + sent), message->len - sent};
		struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
		/* They go with the first byte. */
		if (fds && sent == 0)
			add_fds(&header, control.space, fd, fds);
		ssize_t n = sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0) {
			sent += (size_t)n;
			continue;
		}
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return errno == ECONNRESET ? -EPIPE : -errno;
		int error = wait_for(socket, POLLOUT, deadline);
		if (error)
			return error;
	}
	return 0;
}

int channel_receive(int socket, uint8_t *data, size_t len, uint64_t deadline)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = recv(socket, data + got, len - got, MSG_DONTWAIT);
		if (n > 0) {
			got += (size_t)n;
			continue;
		}
		if (n == 0)
			return -EPIPE;
		if (errno != EAGAIN && errno != EINTR)
			return errno == ECONNRESET ? -EPIPE : -errno;
		int error = wait_for(socket, POLLIN, deadline);
		if (error)
			return error;
	}
	return 0;
}

int channel_check(int socket)
{
	uint8_t byte;
	ssize_t n = recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	return n > 0 ? -EPROTO : -EPIPE;
}

bool channel_wait_closed(int socket, uint64_t deadline)
{
	uint8_t dropped[256];

	/* Its bytes cannot keep this from ending: each turn looks at the clock. */
	while (clock_ns() < deadline) {
		int error = channel_receive(socket, dropped, sizeof(dropped), deadline);
		if (error)
			return error != -ETIMEDOUT;
	}
	return false;
}
