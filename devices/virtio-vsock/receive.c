// SPDX-License-Identifier: Apache-2.0
/* Packets for the guest. */
#include <errno.h>

#include "devices/virtio-vsock/internal.h"
#include "vmm/mem/dirty_log.h"

/* Packets in a turn, which a reset waits for. */
#define TURN 64
/* Bytes of data in a packet, as many as Linux puts into one. */
#define DATA_MAX (64U << 10)

/*
 * Sets @iov to the chain's room after a header, @most bytes of it. Returns the number of elements, or -EPROTO if there is
 * no room or it is not RAM.
 */
static int find_room(const struct ram *ram, const struct virtq_chain *chain, uint32_t most,
		     struct iovec iov[VIRTIO_QUEUE_SIZE_MAX])
{
	uint64_t skip = VSOCK_HEADER;
	unsigned int n = 0;

	for (unsigned int i = 0; i < chain->buffers && most > 0; i++) {
		const struct gpa_range *buffer = &chain->buffer[i];
		if (buffer->len <= skip) {
			skip -= buffer->len;
			continue;
		}
		uint64_t bytes = buffer->len - skip;
		if (bytes > most)
			bytes = most;
		/* The whole buffer must be RAM, or the sum could wrap. */
		if (!ram_at(ram, buffer->gpa, buffer->len))
			return -EPROTO;
		iov[n++] = (struct iovec){ram_at(ram, buffer->gpa + skip, bytes), bytes};
		most -= (uint32_t)bytes;
		skip = 0;
	}
	return n > 0 ? (int)n : -EPROTO;
}

/* Writes the header at the start of the chain. Returns the bytes of the packet, or -EPROTO. */
static ssize_t write_packet(struct vsock *vsock, const struct virtq_chain *chain,
			    const struct vsock_packet *packet)
{
	struct virtio_vsock_hdr header;

	vsock_packet_write(packet, &header);
	if (virtq_write(vsock->dev.host->ram, chain, &header, sizeof(header)) != sizeof(header))
		return -EPROTO;
	return (ssize_t)(sizeof(header) + packet->len);
}

static ssize_t write_reset(struct vsock *vsock, const struct virtq_chain *chain)
{
	const struct vsock_reset *reset = &vsock->reset[vsock->first_reset];
	const struct vsock_packet packet = {
		.src_cid = reset->cid,
		.dst_cid = vsock->config.cid,
		.src_port = reset->host_port,
		.dst_port = reset->guest_port,
		.type = reset->type,
		.op = VIRTIO_VSOCK_OP_RST,
	};

	vsock->first_reset = (vsock->first_reset + 1) % VSOCK_RESETS_MAX;
	vsock->resets--;
	return write_packet(vsock, chain, &packet);
}

/* Each packet tells the credit. */
static ssize_t write_of(struct vsock_connection *connection, const struct virtq_chain *chain,
			uint16_t op, uint32_t len)
{
	const struct vsock_packet packet = {
		.src_cid = VSOCK_HOST_CID,
		.dst_cid = connection->vsock->config.cid,
		.src_port = connection->host_port,
		.dst_port = connection->guest_port,
		.len = len,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = op,
		.flags = op == VIRTIO_VSOCK_OP_SHUTDOWN ? connection->host_shut : 0,
		.room = VSOCK_ROOM,
		.forwarded = vsock_flow_tell(&connection->flow),
	};

	connection->owed &= ~(unsigned int)VSOCK_OWES_CREDIT;
	return write_packet(connection->vsock, chain, &packet);
}

/* Reads from the socket into the chain. Returns the bytes of the packet, 0 if there is nothing to read, or -EPROTO. */
static ssize_t write_data(struct vsock_connection *connection, const struct virtq_chain *chain)
{
	struct vsock *vsock = connection->vsock;
	uint32_t most = vsock_flow_credit(&connection->flow);
	struct iovec iov[VIRTIO_QUEUE_SIZE_MAX];

	if (connection->state != VSOCK_OPEN || !connection->readable || most == 0)
		return 0;
	int n = find_room(vsock->dev.host->ram, chain, most < DATA_MAX ? most : DATA_MAX, iov);
	if (n < 0)
		return n;
	ssize_t len = readv(connection->source.fd, iov, n);
	if (len > 0) {
		ram_wrote_iov(vsock->dev.host->ram, iov, (unsigned int)n, (uint64_t)len);
		vsock_flow_give(&connection->flow, (uint32_t)len);
		atomic_fetch_add(&vsock->counters.to_guest, (unsigned long long)len);
		return write_of(connection, chain, VIRTIO_VSOCK_OP_RW, (uint32_t)len);
	}
	connection->readable = false;
	if (len == 0)
		vsock_heard_end(connection);
	else if (errno != EAGAIN && errno != EINTR)
		vsock_break(connection);
	return 0;
}

/* Returns the bytes of the connection's next packet, written to the chain, 0 if there is none, or -EPROTO. */
static ssize_t write_next(struct vsock_connection *connection, const struct virtq_chain *chain)
{
	static const struct {
		unsigned int owed;
		uint16_t op;
	} before[] = {{VSOCK_OWES_REQUEST, VIRTIO_VSOCK_OP_REQUEST},
		      {VSOCK_OWES_RESPONSE, VIRTIO_VSOCK_OP_RESPONSE}},
	  after[] = {{VSOCK_OWES_SHUTDOWN, VIRTIO_VSOCK_OP_SHUTDOWN},
		     {VSOCK_OWES_CREDIT, VIRTIO_VSOCK_OP_CREDIT_UPDATE}};

	for (unsigned int i = 0; i < 2; i++)
		if (connection->owed & before[i].owed) {
			connection->owed &= ~before[i].owed;
			return write_of(connection, chain, before[i].op, 0);
		}
	ssize_t len = write_data(connection, chain);
	if (len != 0 || connection->state == VSOCK_FREE)
		return len;
	for (unsigned int i = 0; i < 2; i++)
		if (connection->owed & after[i].owed) {
			connection->owed &= ~after[i].owed;
			return write_of(connection, chain, after[i].op, 0);
		}
	vsock_rest(connection);
	return 0;
}

int vsock_receive(struct vsock *vsock, struct virtq *q)
{
	struct virtq_chain chain;

	for (unsigned int i = 0; i < TURN; i++) {
		struct vsock_connection *connection = vsock->resets ? NULL : vsock_next(vsock);
		if (!vsock->resets && !connection)
			return 0;
		/* The driver rings when it has made room. */
		int popped = virtq_pop(q, &chain);
		if (popped <= 0)
			return popped;
		if (chain.readable)
			return -EPROTO;
		ssize_t len =
			connection ? write_next(connection, &chain) : write_reset(vsock, &chain);
		if (len < 0)
			return (int)len;
		if (len > 0)
			virtq_push(q, &chain, (uint32_t)len);
		else
			virtq_unpop(q, 1);
	}
	return -EAGAIN;
}
