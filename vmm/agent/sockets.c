// SPDX-License-Identifier: Apache-2.0
/* The names at which the guest's streams arrive: those of vmm/vsock. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/agent/session.h"
#include "vmm/lib/log.h"
#include "vmm/lib/unix_address.h"

static int address_of(struct sockaddr_un *address, const char *path, unsigned int stream)
{
	return unix_address(address, "%s_%u", path, AGENT_PORT + stream);
}

static int listen_at(const char *path, unsigned int stream)
{
	struct sockaddr_un address;
	int error = address_of(&address, path, stream);

	if (error)
		return error;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* One comes; another is refused while that one waits. */
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 1) == 0)
		return fd;
	error = -errno;
	close(fd);
	return error;
}

int session_listen(struct session_sockets *sockets, const char *path)
{
	snprintf(sockets->path, sizeof(sockets->path), "%s", path);
	for (unsigned int i = 0; i < AGENT_STREAMS; i++)
		sockets->fd[i] = -1;
	for (unsigned int i = 0; i < AGENT_STREAMS; i++) {
		sockets->fd[i] = listen_at(path, i);
		if (sockets->fd[i] >= 0)
			continue;
		int error = sockets->fd[i];
		log_error("cannot make the socket %s_%u: %s", path, AGENT_PORT + i,
			  strerror(-error));
		session_close(sockets, true);
		return error;
	}
	return 0;
}

void session_close(struct session_sockets *sockets, bool remove)
{
	for (unsigned int i = 0; i < AGENT_STREAMS; i++) {
		struct sockaddr_un address;
		if (sockets->fd[i] >= 0)
			close(sockets->fd[i]);
		sockets->fd[i] = -1;
		if (remove && sockets->path[0] && address_of(&address, sockets->path, i) == 0)
			unlink(address.sun_path);
	}
}
