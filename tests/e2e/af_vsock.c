// SPDX-License-Identifier: Apache-2.0
/*
 * AF_VSOCK for a program of the host that has none, by the Unix sockets of --vsock: a library for LD_PRELOAD.
 * EBB_VSOCK is the socket's path, EBB_VSOCK_CID the guest's CID. Streams alone, and no port of the program's own.
 */
#include <dlfcn.h>
#include <errno.h>
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FDS 1024

/* By descriptor: whether it stands for AF_VSOCK, the port that it was bound to, and the size of its buffer. */
static struct {
	int is_ours;
	unsigned int port;
	unsigned long long size;
} fds[FDS];

#define REAL(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

static int ours(int fd)
{
	return fd >= 0 && fd < FDS && fds[fd].is_ours;
}

/* The socket at which ebb listens, or, with a port, that at which this program does. */
static struct sockaddr_un path_of(const unsigned int *port)
{
	struct sockaddr_un path = {.sun_family = AF_UNIX};

	if (port)
		snprintf(path.sun_path, sizeof(path.sun_path), "%s_%u", getenv("EBB_VSOCK"), *port);
	else
		snprintf(path.sun_path, sizeof(path.sun_path), "%s", getenv("EBB_VSOCK"));
	return path;
}

static void tell_peer(struct sockaddr *address, socklen_t *len)
{
	struct sockaddr_vm peer = {.svm_family = AF_VSOCK,
				   .svm_cid = atoi(getenv("EBB_VSOCK_CID"))};

	if (!address)
		return;
	memcpy(address, &peer, *len < sizeof(peer) ? *len : sizeof(peer));
	*len = sizeof(peer);
}

int socket(int domain, int type, int protocol)
{
	int fd;

	if (domain != AF_VSOCK)
		return REAL(socket)(domain, type, protocol);
	fd = REAL(socket)(AF_UNIX, type, 0);
	if (fd >= 0 && fd < FDS)
		fds[fd].is_ours = 1;
	return fd;
}

int bind(int fd, const struct sockaddr *address, socklen_t len)
{
	if (!ours(fd))
		return REAL(bind)(fd, address, len);
	fds[fd].port = ((const struct sockaddr_vm *)address)->svm_port;
	return 0;
}

int listen(int fd, int backlog)
{
	struct sockaddr_un path;

	if (!ours(fd))
		return REAL(listen)(fd, backlog);
	path = path_of(&fds[fd].port);
	unlink(path.sun_path);
	if (REAL(bind)(fd, (struct sockaddr *)&path, sizeof(path)))
		return -1;
	return REAL(listen)(fd, backlog);
}

int accept(int fd, struct sockaddr *address, socklen_t *len)
{
	int made;

	if (!ours(fd))
		return REAL(accept)(fd, address, len);
	made = REAL(accept)(fd, NULL, NULL);
	if (made < 0)
		return made;
	if (made < FDS)
		fds[made].is_ours = 1;
	tell_peer(address, len);
	return made;
}

/* Nobody listens there: the connection ends without an answer. */
static int ask(int fd, unsigned int port)
{
	char line[32], byte = 0;
	int len = snprintf(line, sizeof(line), "CONNECT %u\n", port);

	if (write(fd, line, len) != len)
		return -1;
	while (byte != '\n') {
		if (read(fd, &byte, 1) != 1) {
			errno = ECONNRESET;
			return -1;
		}
	}
	return 0;
}

int connect(int fd, const struct sockaddr *address, socklen_t len)
{
	struct sockaddr_un path;

	if (!ours(fd))
		return REAL(connect)(fd, address, len);
	path = path_of(NULL);
	if (REAL(connect)(fd, (struct sockaddr *)&path, sizeof(path)))
		return -1;
	return ask(fd, ((const struct sockaddr_vm *)address)->svm_port);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	if (!ours(fd) || level != AF_VSOCK)
		return REAL(setsockopt)(fd, level, name, value, len);
	memcpy(&fds[fd].size, value, len < sizeof(fds[fd].size) ? len : sizeof(fds[fd].size));
	return 0;
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	if (!ours(fd) || level != AF_VSOCK)
		return REAL(getsockopt)(fd, level, name, value, len);
	memcpy(value, &fds[fd].size, *len < sizeof(fds[fd].size) ? *len : sizeof(fds[fd].size));
	return 0;
}

int close(int fd)
{
	if (ours(fd))
		memset(&fds[fd], 0, sizeof(fds[fd]));
	return REAL(close)(fd);
}
