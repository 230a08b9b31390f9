// SPDX-License-Identifier: Apache-2.0
/* The sockets of the host's programs. None is ever waited for. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/virtio-vsock/internal.h"
#include "devices/virtio/core.h"
#include "vmm/lib/wake.h"

/* --- from the guest to a program ------------------------------------------------------------- */

/* The program reads no more: tells the guest, and forgets what is left. The program may still write. */
static void stop_sending(struct vsock_connection *connection)
{
	vsock_flow_forward(&connection->flow, connection->len);
	vsock_free_buffer(connection);
	connection->host_shut |= VIRTIO_VSOCK_SHUTDOWN_RCV;
	connection->owed |= VSOCK_OWES_SHUTDOWN;
	connection->readable = true; /* how does it end? */
}

/* Returns how many bytes the socket took, or -errno: -EPIPE if nobody reads there. */
static ssize_t send_to(struct vsock_connection *connection, struct iovec *iov, unsigned int n)
{
	const struct msghdr message = {.msg_iov = iov, .msg_iovlen = n};
	ssize_t sent = sendmsg(connection->source.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (sent >= 0)
		return sent;
	if (errno == EAGAIN)
		return 0;
	return errno == ECONNRESET ? -EPIPE : -errno;
}

/* Ends what cannot be sent: with -EPIPE, the program's other half goes on. */
static void fail(struct vsock_connection *connection, ssize_t error)
{
	if (connection->state == VSOCK_LINGERS)
		vsock_drop(connection);
	else if (error == -EPIPE)
		stop_sending(connection);
	else
		vsock_break(connection);
}

/* All that the guest sent has reached the socket: does what waited for that. */
static void sent_all(struct vsock_connection *connection)
{
	vsock_free_buffer(connection);
	if (connection->state == VSOCK_LINGERS)
		vsock_drop(connection);
	else if (connection->guest_shut & VIRTIO_VSOCK_SHUTDOWN_SEND)
		shutdown(connection->source.fd, SHUT_WR);
}

/* Sends what is kept; may end the connection. */
static void drain(struct vsock_connection *connection)
{
	if (connection->len == 0)
		return;
	uint32_t to_end = VSOCK_ROOM - connection->start;
	uint32_t first = connection->len < to_end ? connection->len : to_end;
	struct iovec iov[] = {{connection->buffer + connection->start, first},
			      {connection->buffer, connection->len - first}};
	ssize_t sent = send_to(connection, iov, 2);
	if (sent < 0) {
		fail(connection, sent);
		return;
	}
	connection->start = (connection->start + (uint32_t)sent) % VSOCK_ROOM;
	connection->len -= (uint32_t)sent;
	vsock_flow_forward(&connection->flow, (uint32_t)sent);
	if (vsock_flow_is_news(&connection->flow))
		connection->owed |= VSOCK_OWES_CREDIT;
	if (connection->len == 0)
		sent_all(connection);
}

/* Copies what @iov has from its byte @skip on. The credit has kept it within VSOCK_ROOM. Returns 0 or -ENOMEM. */
static int keep(struct vsock_connection *connection, const struct iovec *iov, unsigned int n,
		size_t skip)
{
	if (vsock_make_buffer(connection) < 0)
		return -ENOMEM;
	for (unsigned int i = 0; i < n; i++) {
		const uint8_t *from = iov[i].iov_base;
		for (size_t at = skip; at < iov[i].iov_len;) {
			uint32_t end = (connection->start + connection->len) % VSOCK_ROOM;
			size_t piece = iov[i].iov_len - at;
			if (piece > VSOCK_ROOM - end)
				piece = VSOCK_ROOM - end;
			memcpy(connection->buffer + end, from + at, piece);
			connection->len += (uint32_t)piece;
			at += piece;
		}
		skip -= skip < iov[i].iov_len ? skip : iov[i].iov_len;
	}
	return 0;
}

void vsock_pass_on(struct vsock_connection *connection, struct iovec *iov, unsigned int n,
		   uint32_t len)
{
	ssize_t sent = 0;

	if (connection->host_shut & VIRTIO_VSOCK_SHUTDOWN_RCV)
		sent = len; /* on its way when the guest was told */
	else if (connection->len == 0)
		sent = send_to(connection, iov, n);
	if (sent < 0) {
		fail(connection, sent);
		if (connection->state == VSOCK_FREE)
			return;
		sent = len;
	}
	vsock_flow_forward(&connection->flow, (uint32_t)sent);
	if ((uint32_t)sent < len && keep(connection, iov, n, (size_t)sent) < 0) {
		vsock_break(connection);
		return;
	}
	if (vsock_flow_is_news(&connection->flow))
		connection->owed |= VSOCK_OWES_CREDIT;
}

void vsock_shut(struct vsock_connection *connection, unsigned int flags)
{
	struct vsock *vsock = connection->vsock;
	const struct vsock_reset reset = {VSOCK_HOST_CID, connection->guest_port,
					  connection->host_port, VIRTIO_VSOCK_TYPE_STREAM};

	connection->guest_shut |= flags & SHUT_BOTH;
	if (connection->guest_shut & VIRTIO_VSOCK_SHUTDOWN_RCV) {
		shutdown(connection->source.fd, SHUT_RD);
		connection->readable = false;
	}
	if (connection->guest_shut != SHUT_BOTH) {
		if (connection->len == 0)
			sent_all(connection);
		return;
	}
	/* All of it is here: the guest may forget it (§5.10.6.6.1). */
	vsock_add_reset(vsock, &reset);
	connection->state = VSOCK_LINGERS;
	connection->owed = 0;
	if (connection->len == 0)
		sent_all(connection);
}

/* --- from a program to the guest ------------------------------------------------------------- */

/* The program has closed its socket, and not just half of it: it does not read, either. */
static void look_for_hangup(struct vsock_connection *connection)
{
	struct pollfd socket = {.fd = connection->source.fd};

	if (!(connection->host_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) ||
	    connection->host_shut & VIRTIO_VSOCK_SHUTDOWN_RCV)
		return;
	if (poll(&socket, 1, 0) > 0 && socket.revents & (POLLHUP | POLLERR))
		stop_sending(connection);
	connection->readable = false;
}

void vsock_heard_end(struct vsock_connection *connection)
{
	connection->host_shut |= VIRTIO_VSOCK_SHUTDOWN_SEND;
	connection->owed |= VSOCK_OWES_SHUTDOWN;
	connection->readable = false;
	look_for_hangup(connection);
}

void vsock_accepted(struct vsock_connection *connection)
{
	char line[sizeof("OK 4294967295\n")];
	int len = snprintf(line, sizeof(line), "OK %u\n", connection->host_port);

	/* Nothing was written there yet, so there is room. */
	if (send(connection->source.fd, line, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT) != len) {
		vsock_break(connection);
		return;
	}
	connection->state = VSOCK_OPEN;
	connection->deadline = 0;
	connection->readable = true;
	atomic_fetch_add(&connection->vsock->counters.opened, 1);
}

/* Asks the guest for a connection to @port. */
static void ask(struct vsock_connection *connection, uint32_t port)
{
	struct vsock *vsock = connection->vsock;

	if (!vsock->active) {
		vsock_break(connection);
		return;
	}
	/* Sooner or later one is free: there are more of them than connections. */
	do {
		if (vsock->next_port == UINT32_MAX)
			vsock->next_port = VSOCK_PORT_FIRST;
		connection->host_port = vsock->next_port++;
	} while (vsock_find(vsock, port, connection->host_port));
	connection->guest_port = port;
	connection->state = VSOCK_ASKED;
	connection->owed = VSOCK_OWES_REQUEST;
	vsock_set_limit(connection);
}

/* Takes the first line, and leaves what follows it in the socket. */
static void read_line(struct vsock_connection *connection)
{
	char line[VSOCK_LINE_MAX];
	int fd = connection->source.fd;
	uint32_t port = 0;

	ssize_t len = recv(fd, line, sizeof(line), MSG_PEEK | MSG_DONTWAIT);
	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	len = len <= 0 ? -EPIPE : vsock_line_parse(line, (size_t)len, &port);
	if (len == 0)
		return;
	if (len < 0 || recv(fd, line, (size_t)len, MSG_DONTWAIT) != len)
		vsock_break(connection);
	else
		ask(connection, port);
}

/* --- events ---------------------------------------------------------------------------------- */

/* Without the lock. */
static void serve(struct vsock *vsock)
{
	virtio_core_work(vsock->dev.core, VSOCK_RECEIVE);
}

/* The socket became readable or writable, or has ended. */
static void socket_stirs(void *ctx)
{
	struct vsock_connection *connection = ctx;
	struct vsock *vsock = connection->vsock;

	pthread_mutex_lock(&vsock->lock);
	if (connection->state == VSOCK_HELLO)
		read_line(connection);
	connection->readable = !(connection->guest_shut & VIRTIO_VSOCK_SHUTDOWN_RCV);
	if (connection->state == VSOCK_OPEN)
		look_for_hangup(connection);
	if (connection->state == VSOCK_OPEN || connection->state == VSOCK_LINGERS)
		drain(connection);
	if (connection->state != VSOCK_FREE)
		vsock_wake(connection);
	pthread_mutex_unlock(&vsock->lock);
	serve(vsock);
}

int vsock_adopt(struct vsock_connection *connection, int fd)
{
	connection->source = (struct loop_source){fd, socket_stirs, connection};
	int error = loop_add_edge(connection->vsock->config.loop, &connection->source);
	if (error) {
		close(fd);
		connection->source.fd = -1;
	}
	return error;
}

/* A listener that cannot accept stays ready: without a pause the loop would serve nothing else. */
static void rest(struct vsock *vsock)
{
	loop_remove(vsock->config.loop, &vsock->listener);
	vsock->rests = true;
	wake_timer_at(vsock->timer.fd, clock_ns() + NS_PER_S);
	vsock->ticks = true;
}

/* Programs that have not named a port yet leave half of the places to the others. */
static bool has_place(const struct vsock *vsock)
{
	unsigned int nameless = 0;

	for (unsigned int i = 0; i < vsock->most; i++)
		nameless += vsock->connection[i].state == VSOCK_HELLO;
	return nameless < VSOCK_CONNECTIONS_MAX / 2;
}

void vsock_listener_rang(void *ctx)
{
	struct vsock *vsock = ctx;
	int fd = accept4(vsock->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	pthread_mutex_lock(&vsock->lock);
	struct vsock_connection *connection = NULL;
	if (fd < 0 && errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
		rest(vsock);
	if (fd >= 0 && has_place(vsock))
		connection = vsock_take(vsock, VSOCK_HELLO);
	if (fd >= 0 && !connection) {
		atomic_fetch_add(&vsock->counters.refused, 1);
		close(fd);
	}
	if (connection && vsock_adopt(connection, fd) < 0)
		vsock_drop(connection);
	else if (connection)
		vsock_set_limit(connection);
	pthread_mutex_unlock(&vsock->lock);
}

/* Returns whether the connection still has a deadline. */
static bool check_limit(struct vsock_connection *connection, uint64_t now)
{
	if (connection->state == VSOCK_FREE || connection->deadline == 0)
		return false;
	/* A guest that is paused cannot answer. */
	if (connection->state == VSOCK_ASKED && atomic_load(&connection->vsock->held))
		connection->deadline = now + VSOCK_LIMIT_NS;
	if (now < connection->deadline)
		return true;
	vsock_break(connection);
	return false;
}

void vsock_timer_rang(void *ctx)
{
	struct vsock *vsock = ctx;
	uint64_t now = clock_ns();
	bool more = false;

	wake_take(vsock->timer.fd);
	pthread_mutex_lock(&vsock->lock);
	for (unsigned int i = 0; i < vsock->most; i++)
		more |= check_limit(&vsock->connection[i], now);
	if (vsock->rests)
		vsock->rests = loop_add(vsock->config.loop, &vsock->listener) < 0;
	vsock->ticks = more || vsock->rests;
	if (vsock->ticks)
		wake_timer_at(vsock->timer.fd, now + NS_PER_S);
	pthread_mutex_unlock(&vsock->lock);
	serve(vsock);
}

void vsock_dialled(struct vsock *vsock, uint64_t call, int fd)
{
	struct vsock_connection *connection = &vsock->connection[call % VSOCK_CONNECTIONS_MAX];

	pthread_mutex_lock(&vsock->lock);
	if (connection->state != VSOCK_DIALLED || connection->call != call) {
		if (fd >= 0)
			close(fd); /* the guest has given up */
	} else if (fd < 0 || vsock_adopt(connection, fd) < 0) {
		vsock_break(connection);
	} else {
		connection->state = VSOCK_OPEN;
		connection->deadline = 0;
		connection->owed |= VSOCK_OWES_RESPONSE;
		connection->readable = true;
		atomic_fetch_add(&vsock->counters.opened, 1);
		vsock_wake(connection);
	}
	pthread_mutex_unlock(&vsock->lock);
	serve(vsock);
}
