// SPDX-License-Identifier: Apache-2.0
/*
 * vsockio: streams between the guest and the host, by AF_VSOCK.
 *
 *   vsockio echo PORT                a server: sends back what comes, for many at once, until it is killed
 *   vsockio connect PORT SIZE N      N connections at once to a server of that kind on the host, CID 2: sends SIZE bytes
 *                                    on each, ends its half, and checks what comes back
 *
 * Prints "vsockio: listens", and "vsockio: SIZE bytes N times there and back in U us".
 */
#include <signal.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "guest/vsock.h"
#include "workload.h"

#define CHUNK ((size_t)64 << 10)

static void usage(void)
{
	fputs("usage: vsockio echo PORT\n"
	      "       vsockio connect PORT SIZE N\n",
	      stderr);
	exit(2);
}

static int address(unsigned int cid, unsigned long port, struct vsock_address *to)
{
	*to = (struct vsock_address){.family = AF_VSOCK, .cid = cid, .port = (unsigned int)port};
	return socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int put(int fd, const unsigned char *bytes, size_t size)
{
	while (size) {
		ssize_t n = write(fd, bytes, size);

		if (n <= 0)
			return -1;
		bytes += n;
		size -= (size_t)n;
	}
	return 0;
}

/* --- the server ------------------------------------------------------------------------------ */

static void echo_one(int fd)
{
	static unsigned char bytes[CHUNK];
	ssize_t n;

	while ((n = read(fd, bytes, sizeof(bytes))) > 0)
		if (put(fd, bytes, (size_t)n))
			break;
	exit(n != 0);
}

static void echo(unsigned long port)
{
	struct vsock_address own;
	int fd = address(VSOCK_CID_ANY, port, &own);

	signal(SIGCHLD, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	if (fd < 0 || bind(fd, (struct sockaddr *)&own, sizeof(own)) || listen(fd, 128))
		fail("vsockio", "listen");
	puts("vsockio: listens");
	fflush(stdout);
	for (;;) {
		int client = accept(fd, NULL, NULL);

		if (client < 0)
			fail("vsockio", "accept");
		if (fork() == 0)
			echo_one(client);
		close(client);
	}
}

/* --- the client ------------------------------------------------------------------------------ */

/* A byte of the stream @number: it repeats after a length that no buffer has. */
static unsigned char byte_of(uint64_t at, unsigned long number)
{
	return (unsigned char)(at % 65521 * 31 + number);
}

static void send_all(int fd, uint64_t size, unsigned long number)
{
	static unsigned char bytes[CHUNK];

	for (uint64_t at = 0; at < size;) {
		size_t n = size - at < CHUNK ? (size_t)(size - at) : CHUNK;

		for (size_t i = 0; i < n; i++)
			bytes[i] = byte_of(at + i, number);
		if (put(fd, bytes, n))
			fail("vsockio", "write");
		at += n;
	}
	if (shutdown(fd, SHUT_WR))
		fail("vsockio", "shutdown");
	exit(0);
}

static void check_all(int fd, uint64_t size, unsigned long number)
{
	static unsigned char bytes[CHUNK];
	uint64_t at = 0;
	ssize_t n;

	while ((n = read(fd, bytes, sizeof(bytes))) > 0)
		for (ssize_t i = 0; i < n; i++, at++)
			if (bytes[i] != byte_of(at, number)) {
				fprintf(stderr, "vsockio: byte %llu of connection %lu is wrong\n",
					(unsigned long long)at, number);
				exit(1);
			}
	if (n < 0)
		fail("vsockio", "read");
	if (at == size)
		return;
	fprintf(stderr, "vsockio: %llu of %llu bytes of connection %lu came back\n",
		(unsigned long long)at, (unsigned long long)size, number);
	exit(1);
}

/* A process writes and another one reads, on each. */
static void start(int fd, uint64_t size, unsigned long number)
{
	if (fork() == 0)
		send_all(fd, size, number);
	if (fork() == 0) {
		check_all(fd, size, number);
		exit(0);
	}
}

static void connect_all(unsigned long port, size_t size, unsigned long count)
{
	int *fd = calloc(count, sizeof(*fd));
	uint64_t began = now_us();
	bool failed = false;
	int status;

	for (unsigned long i = 0; fd && i < count; i++) {
		const struct timeval limit = {.tv_sec = VSOCK_CONNECT_SECONDS};
		struct vsock_address host;

		fd[i] = address(VSOCK_CID_HOST, port, &host);
		if (fd[i] < 0 ||
		    setsockopt(fd[i], AF_VSOCK, VSOCK_CONNECT_TIMEOUT, &limit, sizeof(limit)) ||
		    connect(fd[i], (struct sockaddr *)&host, sizeof(host)))
			fail("vsockio", "connect");
	}
	for (unsigned long i = 0; fd && i < count; i++) {
		start(fd[i], size, i);
		close(fd[i]);
	}
	while (wait(&status) > 0)
		failed = failed || status != 0;
	free(fd);
	if (failed || !fd)
		exit(1);
	printf("vsockio: %zu bytes %lu times there and back in %llu us\n", size, count,
	       (unsigned long long)(now_us() - began));
}

int main(int argc, char **argv)
{
	unsigned long port, count;
	size_t size;

	if (argc < 3 || count_parse(argv[2], 1, &port))
		usage();
	if (argc == 3 && strcmp(argv[1], "echo") == 0)
		echo(port);
	if (argc != 5 || strcmp(argv[1], "connect") != 0 || size_parse(argv[3], &size) ||
	    count_parse(argv[4], 1, &count))
		usage();
	connect_all(port, size, count);
	return 0;
}
