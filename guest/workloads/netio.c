// SPDX-License-Identifier: Apache-2.0
/*
 * netio: measures TCP between two machines.
 *
 *   netio listen PORT                         the other end, on all addresses, until it is killed
 *   netio send|receive ADDRESS PORT SIZE      a stream of SIZE bytes
 *   netio trip ADDRESS PORT N                 N times one byte there and one back
 *
 * Prints "netio: listens", and "netio: send SIZE in U us" or the like: from a connection that is made until the other end has
 * all of a stream and has said so. The clock is CLOCK_MONOTONIC.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "workload.h"

#define CHUNK ((size_t)128 << 10)

static unsigned char chunk[CHUNK];

static void usage(void)
{
	fputs("usage: netio listen PORT\n"
	      "       netio send|receive ADDRESS PORT SIZE\n"
	      "       netio trip ADDRESS PORT N\n",
	      stderr);
	exit(2);
}

/* Returns 0, or -1 when the other end has gone. */
static int put(int fd, uint64_t bytes)
{
	while (bytes) {
		ssize_t n = write(fd, chunk, bytes < CHUNK ? (size_t)bytes : CHUNK);

		if (n <= 0)
			return -1;
		bytes -= (uint64_t)n;
	}
	return 0;
}

static int get(int fd, uint64_t bytes)
{
	while (bytes) {
		ssize_t n = read(fd, chunk, bytes < CHUNK ? (size_t)bytes : CHUNK);

		if (n <= 0)
			return -1;
		bytes -= (uint64_t)n;
	}
	return 0;
}

static int trips(int fd, uint64_t n, int (*first)(int, uint64_t), int (*second)(int, uint64_t))
{
	while (n--)
		if (first(fd, 1) || second(fd, 1))
			return -1;
	return 0;
}

/* A request: which, and how much. */
struct request {
	uint64_t kind, amount;
};

static void serve(int fd)
{
	struct request request;

	if (recv(fd, &request, sizeof(request), MSG_WAITALL) != sizeof(request))
		return;
	if (request.kind == 's' && get(fd, request.amount) == 0)
		put(fd, 1);
	else if (request.kind == 'r' && put(fd, request.amount) == 0)
		get(fd, 1);
	else if (request.kind == 't')
		trips(fd, request.amount, get, put);
}

static int connection(int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

static void serve_all(struct sockaddr_in *address)
{
	int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address->sin_addr.s_addr = htonl(INADDR_ANY);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd < 0 || bind(fd, (struct sockaddr *)address, sizeof(*address)) || listen(fd, 8))
		fail("netio", "listen");
	puts("netio: listens");
	fflush(stdout);
	for (;;) {
		int client = accept(fd, NULL, NULL);

		if (client < 0)
			continue;
		serve(connection(client));
		close(client);
	}
}

static void measure(char kind, const char *name, const struct sockaddr_in *address, uint64_t amount)
{
	struct request request = {(uint64_t)kind, amount};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int failed;

	if (fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof(*address)))
		fail("netio", "connect");
	connection(fd);
	uint64_t start = now_us();
	failed = write(fd, &request, sizeof(request)) != sizeof(request);
	if (kind == 's')
		failed = failed || put(fd, amount) || get(fd, 1);
	else if (kind == 'r')
		failed = failed || get(fd, amount) || put(fd, 1);
	else
		failed = failed || trips(fd, amount, put, get);
	if (failed)
		fail("netio", name);
	printf("netio: %s %llu in %llu us\n", name, (unsigned long long)amount,
	       (unsigned long long)(now_us() - start));
	close(fd);
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	bool serving = argc == 3 && strcmp(argv[1], "listen") == 0;
	unsigned long port, n;
	size_t amount;

	if (!serving && argc != 5)
		usage();
	if (count_parse(argv[serving ? 2 : 3], 1, &port) || port > 65535)
		usage();
	address.sin_port = htons((uint16_t)port);
	signal(SIGPIPE, SIG_IGN);
	if (serving)
		serve_all(&address);
	if (inet_pton(AF_INET, argv[2], &address.sin_addr) != 1)
		usage();
	if (strcmp(argv[1], "trip") == 0 && count_parse(argv[4], 1, &n) == 0)
		measure('t', argv[1], &address, n);
	else if ((strcmp(argv[1], "send") == 0 || strcmp(argv[1], "receive") == 0) &&
		 size_parse(argv[4], &amount) == 0)
		measure(argv[1][0], argv[1], &address, amount);
	else
		usage();
	return 0;
}
