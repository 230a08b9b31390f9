// SPDX-License-Identifier: Apache-2.0
#include "vmm/vsock/client.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
/* After the socket's own types. */
#include <linux/vm_sockets.h>
#include <sys/time.h>
#include <unistd.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/unix_address.h"

#define LINE_MAX_BYTES 32  /* "OK ", a port, and a line feed are fewer */
#define AGAIN_MS       100 /* before the next try at a socket with too many who wait */

/* Opens the folder of @path if the path is too long for an address. Returns a descriptor, -1 for none, or another -errno. */
static int address_of(struct sockaddr_un *address, const char *path)
{
	const char *file = strrchr(path, '/');
	char folder[PATH_MAX];

	if (unix_address(address, "%s", path) == 0)
		return -1;
	if (!file || (size_t)(file - path) >= sizeof(folder))
		return -ENAMETOOLONG;
	snprintf(folder, sizeof(folder), "%.*s", (int)(file - path), path);
	int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == EPERM ? -EACCES : -errno;
	if (unix_address(address, "/proc/self/fd/%d%s", fd, file) == 0)
		return fd;
	close(fd);
	return -ENAMETOOLONG;
}

/* Returns a connected socket or -errno. */
static int reach(const struct sockaddr_un *address, int64_t deadline)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int error = fd < 0 ? -errno : 0;

	while (!error && connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0) {
		error = errno != EAGAIN ? -errno : clock_ms() >= deadline ? -ETIMEDOUT : 0;
		if (!error)
			clock_sleep_ms(AGAIN_MS);
	}
	if (!error)
		return fd;
	if (fd >= 0)
		close(fd);
	return error;
}

/* Waits for one byte. Returns 0 or -errno: -ECONNRESET at the stream's end. */
static int take_byte(int fd, char *byte, int64_t deadline)
{
	for (;;) {
		struct pollfd more = {.fd = fd, .events = POLLIN};
		int64_t left = deadline - clock_ms();
		ssize_t got = recv(fd, byte, 1, MSG_DONTWAIT);
		if (got == 1)
			return 0;
		if (got == 0 || errno == ECONNRESET)
			return -ECONNRESET;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		if (left <= 0)
			return -ETIMEDOUT;
		poll(&more, 1, left > INT_MAX ? INT_MAX : (int)left);
	}
}

/* Takes the line of the answer, and nothing behind it: that is the program's. Returns 0 or -errno. */
static int take_answer(int fd, int64_t deadline)
{
	char line[LINE_MAX_BYTES];
	size_t len = 0;
	int error;

	do
		error = take_byte(fd, &line[len++], deadline);
	while (!error && line[len - 1] != '\n' && len < sizeof(line));
	if (error)
		return error == -ECONNRESET && len > 1 ? -EPROTO : error;
	return line[len - 1] == '\n' && strncmp(line, "OK ", 3) == 0 ? 0 : -EPROTO;
}

/* Waits until connect(2) has ended. Returns 0 or -errno. */
static int await_connect(int fd, int64_t deadline)
{
	struct pollfd done = {.fd = fd, .events = POLLOUT};
	int64_t left = deadline - clock_ms();
	int error;
	socklen_t size = sizeof(error);

	while (left > 0 && poll(&done, 1, left > INT_MAX ? INT_MAX : (int)left) < 0 &&
	       errno == EINTR)
		left = deadline - clock_ms();
	if (!(done.revents & (POLLOUT | POLLERR | POLLHUP)))
		return -ETIMEDOUT;
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 ? -errno : -error;
}

static int connect_by_cid(uint32_t cid, uint32_t port, int64_t deadline)
{
	const struct sockaddr_vm address = {
		.svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};
	int64_t left = deadline - clock_ms();
	/* The kernel's own limit, which else is two seconds: a guest that starts may take longer. */
	const struct timeval limit = {.tv_sec = left > 0 ? left / 1000 + 1 : 1};
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &limit, sizeof(limit));
	int error =
		connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	if (error == -EINPROGRESS)
		error = await_connect(fd, deadline);
	if (!error)
		return fd;
	close(fd);
	return error;
}

static int connect_by_path(const char *path, uint32_t port, int64_t deadline)
{
	struct sockaddr_un address;
	char line[LINE_MAX_BYTES];

	int folder = address_of(&address, path);
	if (folder < -1)
		return folder;
	int fd = reach(&address, deadline);
	if (folder >= 0)
		close(folder);
	if (fd < 0)
		return fd;
	int len = snprintf(line, sizeof(line), "CONNECT %u\n", port);
	/* A socket of ours that is new has room. */
	int error = send(fd, line, (size_t)len, MSG_NOSIGNAL) == len ? 0
		    : errno == EPIPE				     ? -ECONNRESET
								     : -errno;
	if (!error)
		error = take_answer(fd, deadline);
	if (!error)
		return fd;
	close(fd);
	return error;
}

int vsock_client_connect(const char *address, uint32_t port, int64_t deadline)
{
	if (*address == '/')
		return connect_by_path(address, port, deadline);
	return connect_by_cid((uint32_t)strtoul(address, NULL, 10), port, deadline);
}
