// SPDX-License-Identifier: Apache-2.0
/* The table of connections, and which of them have something for the guest. */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "devices/virtio-vsock/internal.h"
#include "vmm/lib/wake.h"

static unsigned int place_of(const struct vsock_connection *connection)
{
	return (unsigned int)(connection - connection->vsock->connection);
}

struct vsock_connection *vsock_take(struct vsock *vsock, enum vsock_state state)
{
	for (unsigned int i = 0; i < VSOCK_CONNECTIONS_MAX; i++) {
		struct vsock_connection *connection = &vsock->connection[i];
		if (connection->state != VSOCK_FREE)
			continue;
		*connection = (struct vsock_connection){
			.vsock = vsock,
			.source.fd = -1,
			.state = state,
			.call = ++vsock->calls * VSOCK_CONNECTIONS_MAX + i,
		};
		if (vsock->most <= i)
			vsock->most = i + 1;
		return connection;
	}
	return NULL;
}

/* Not by malloc(): what is freed is the host's again. */
int vsock_make_buffer(struct vsock_connection *connection)
{
	if (connection->buffer)
		return 0;
	void *buffer =
		mmap(NULL, VSOCK_ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (buffer == MAP_FAILED)
		return -errno;
	connection->buffer = buffer;
	connection->start = 0;
	return 0;
}

void vsock_free_buffer(struct vsock_connection *connection)
{
	if (connection->buffer)
		munmap(connection->buffer, VSOCK_ROOM);
	connection->buffer = NULL;
	connection->len = 0;
}

void vsock_drop(struct vsock_connection *connection)
{
	struct vsock *vsock = connection->vsock;

	vsock_rest(connection);
	if (connection->source.fd >= 0) {
		/* On any thread: a callback that is on its way finds no connection, or another one to look at. */
		loop_remove(vsock->config.loop, &connection->source);
		close(connection->source.fd);
	}
	vsock_free_buffer(connection);
	connection->source.fd = -1;
	connection->state = VSOCK_FREE;
	while (vsock->most > 0 && vsock->connection[vsock->most - 1].state == VSOCK_FREE)
		vsock->most--;
}

static bool is_known(const struct vsock_connection *connection)
{
	if (connection->state == VSOCK_ASKED)
		return !(connection->owed & VSOCK_OWES_REQUEST);
	return connection->state == VSOCK_DIALLED || connection->state == VSOCK_OPEN;
}

void vsock_break(struct vsock_connection *connection)
{
	struct vsock *vsock = connection->vsock;
	const struct vsock_reset reset = {VSOCK_HOST_CID, connection->guest_port,
					  connection->host_port, VIRTIO_VSOCK_TYPE_STREAM};

	atomic_fetch_add(connection->state == VSOCK_OPEN ? &vsock->counters.broken
							 : &vsock->counters.refused,
			 1);
	if (is_known(connection))
		vsock_add_reset(vsock, &reset);
	vsock_drop(connection);
}

struct vsock_connection *vsock_find(struct vsock *vsock, uint32_t guest_port, uint32_t host_port)
{
	for (unsigned int i = 0; i < vsock->most; i++) {
		struct vsock_connection *connection = &vsock->connection[i];
		if (connection->guest_port == guest_port && connection->host_port == host_port &&
		    (connection->state == VSOCK_ASKED || connection->state == VSOCK_DIALLED ||
		     connection->state == VSOCK_OPEN))
			return connection;
	}
	return NULL;
}

void vsock_set_limit(struct vsock_connection *connection)
{
	struct vsock *vsock = connection->vsock;
	uint64_t now = clock_ns();

	connection->deadline = now + VSOCK_LIMIT_NS;
	if (!vsock->ticks)
		wake_timer_at(vsock->timer.fd, now + NS_PER_S);
	vsock->ticks = true;
}

void vsock_wake(struct vsock_connection *connection)
{
	unsigned int place = place_of(connection);
	bool data = connection->state == VSOCK_OPEN && connection->readable &&
		    vsock_flow_credit(&connection->flow) > 0;

	if (connection->owed || data)
		connection->vsock->ready[place / 64] |= 1ULL << place % 64;
}

void vsock_rest(struct vsock_connection *connection)
{
	unsigned int place = place_of(connection);
	connection->vsock->ready[place / 64] &= ~(1ULL << place % 64);
}

struct vsock_connection *vsock_next(struct vsock *vsock)
{
	for (unsigned int i = 0; i < vsock->most; i++) {
		unsigned int place = (vsock->turn + i) % vsock->most;
		if (!(vsock->ready[place / 64] >> place % 64 & 1))
			continue;
		vsock->turn = place + 1;
		return &vsock->connection[place];
	}
	return NULL;
}

void vsock_add_reset(struct vsock *vsock, const struct vsock_reset *reset)
{
	/* If it were lost, the guest's next packet would be answered with another one. */
	if (vsock->resets == VSOCK_RESETS_MAX)
		return;
	vsock->reset[(vsock->first_reset + vsock->resets++) % VSOCK_RESETS_MAX] = *reset;
}
