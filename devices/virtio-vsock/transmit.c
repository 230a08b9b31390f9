// SPDX-License-Identifier: Apache-2.0
/* Packets from the guest. */
#include <errno.h>

#include "devices/virtio-vsock/internal.h"

/* Packets in a turn, which a reset waits for. */
#define TURN 64

/*
 * Sets @iov to the @len bytes after the header, in guest RAM. Returns the number of elements, or -EPROTO if there are
 * fewer bytes or they are not RAM.
 */
static int find_data(const struct ram *ram, const struct virtq_chain *chain,
		     struct virtq_cursor cursor, uint32_t len,
		     struct iovec iov[VIRTIO_QUEUE_SIZE_MAX])
{
	unsigned int n = 0;

	for (unsigned int i = cursor.buffer; i < chain->buffers && len > 0; i++) {
		uint64_t skip = i == cursor.buffer ? cursor.offset : 0;
		uint64_t bytes = chain->buffer[i].len - skip;
		if (bytes > len)
			bytes = len;
		if (bytes == 0)
			continue;
		void *at = ram_at(ram, chain->buffer[i].gpa + skip, bytes);
		if (!at)
			return -EPROTO;
		iov[n++] = (struct iovec){at, bytes};
		len -= (uint32_t)bytes;
	}
	return len > 0 ? -EPROTO : (int)n;
}

/* Answers a packet that no connection expects. */
static void refuse(struct vsock *vsock, const struct vsock_packet *packet)
{
	const struct vsock_reset reset = {packet->dst_cid, packet->src_port, packet->dst_port,
					  packet->type};

	if (packet->op != VIRTIO_VSOCK_OP_RST)
		vsock_add_reset(vsock, &reset);
}

/* The guest asks for a connection to a program of the host. */
static void dial(struct vsock *vsock, const struct vsock_packet *packet)
{
	struct vsock_connection *connection = vsock_take(vsock, VSOCK_DIALLED);

	if (!connection) {
		atomic_fetch_add(&vsock->counters.refused, 1);
		refuse(vsock, packet);
		return;
	}
	connection->guest_port = packet->src_port;
	connection->host_port = packet->dst_port;
	vsock_flow_hear(&connection->flow, packet->room, packet->forwarded);
	vsock_set_limit(connection);
	if (vsock->config.dial(vsock->config.ctx, connection->call, connection->host_port) < 0)
		vsock_break(connection);
}

/* A packet other than a request or a reset for a connection that is not open yet. */
static void hear_early(struct vsock_connection *connection, const struct vsock_packet *packet)
{
	if (packet->op == VIRTIO_VSOCK_OP_RESPONSE && connection->state == VSOCK_ASKED &&
	    !(connection->owed & VSOCK_OWES_REQUEST))
		vsock_accepted(connection);
	else if (packet->op != VIRTIO_VSOCK_OP_CREDIT_UPDATE)
		vsock_break(connection);
}

static void hear_data(struct vsock_connection *connection, const struct vsock_packet *packet,
		      struct iovec *iov, unsigned int n)
{
	if (connection->guest_shut & VIRTIO_VSOCK_SHUTDOWN_SEND ||
	    !vsock_flow_take(&connection->flow, packet->len)) {
		vsock_break(connection);
		return;
	}
	atomic_fetch_add(&connection->vsock->counters.from_guest, packet->len);
	vsock_pass_on(connection, iov, n, packet->len);
}

static void hear_open(struct vsock_connection *connection, const struct vsock_packet *packet,
		      struct iovec *iov, unsigned int n)
{
	switch (packet->op) {
	case VIRTIO_VSOCK_OP_RW:
		hear_data(connection, packet, iov, n);
		break;
	case VIRTIO_VSOCK_OP_SHUTDOWN:
		vsock_shut(connection, packet->flags);
		break;
	case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
		break;
	case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
		connection->owed |= VSOCK_OWES_CREDIT;
		break;
	default:
		vsock_break(connection);
	}
}

static void hear(struct vsock *vsock, const struct vsock_packet *packet, struct iovec *iov,
		 unsigned int n)
{
	if (packet->src_cid != vsock->config.cid) {
		atomic_fetch_add(&vsock->counters.dropped, 1);
		return;
	}
	if (packet->dst_cid != VSOCK_HOST_CID || packet->type != VIRTIO_VSOCK_TYPE_STREAM) {
		refuse(vsock, packet);
		return;
	}
	struct vsock_connection *connection = vsock_find(vsock, packet->src_port, packet->dst_port);
	if (!connection) {
		if (packet->op == VIRTIO_VSOCK_OP_REQUEST)
			dial(vsock, packet);
		else
			refuse(vsock, packet);
		return;
	}
	vsock_flow_hear(&connection->flow, packet->room, packet->forwarded);
	if (packet->op == VIRTIO_VSOCK_OP_RST) {
		if (connection->state != VSOCK_OPEN)
			atomic_fetch_add(&vsock->counters.refused, 1);
		vsock_drop(connection);
	} else if (connection->state == VSOCK_OPEN) {
		hear_open(connection, packet, iov, n);
	} else {
		hear_early(connection, packet);
	}
	if (connection->state != VSOCK_FREE)
		vsock_wake(connection);
}

int vsock_transmit(struct vsock *vsock, struct virtq *q)
{
	const struct ram *ram = vsock->dev.host->ram;
	struct iovec iov[VIRTIO_QUEUE_SIZE_MAX];
	struct virtq_chain chain;

	for (unsigned int i = 0; i < TURN; i++) {
		struct virtio_vsock_hdr header;
		struct vsock_packet packet;
		struct virtq_cursor cursor = {0};
		int n = 0;

		/* The driver makes room by giving buffers for the answers. */
		vsock->waits = vsock->resets >= VSOCK_RESETS_MAX / 2;
		if (vsock->waits)
			return 0;
		int popped = virtq_pop(q, &chain);
		if (popped <= 0)
			return popped;
		if (chain.readable != chain.buffers ||
		    virtq_read(ram, &chain, &cursor, &header, sizeof(header)) != sizeof(header))
			return -EPROTO;
		vsock_packet_parse(&packet, &header);
		if (packet.op == VIRTIO_VSOCK_OP_RW)
			n = find_data(ram, &chain, cursor, packet.len, iov);
		if (n < 0)
			return n;
		hear(vsock, &packet, iov, (unsigned int)n);
		virtq_push(q, &chain, 0);
	}
	return -EAGAIN;
}
