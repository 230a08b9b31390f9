// SPDX-License-Identifier: Apache-2.0
/* Frames from the guest. */
#include <errno.h>

#include "devices/virtio-net/header.h"
#include "devices/virtio-net/net.h"
#include "vmm/lib/worker.h"

/* Frames in a turn, which a reset waits for. */
#define TURN 64
/* Bytes from which on a frame is of a stream, which wants throughput; others want an answer soon. */
#define BULK (16U << 10)

/*
 * Finds the frame after the header: sets @iov[1] and up to its parts in guest RAM. Returns the
 * number of elements, iov[0] included, or -EPROTO if a buffer is not RAM.
 */
static int frame_find(const struct ram *ram, const struct virtq_chain *chain,
		      struct virtq_cursor cursor, struct iovec iov[1 + VIRTIO_QUEUE_SIZE_MAX],
		      size_t *len)
{
	unsigned int n = 1;

	*len = 0;
	for (unsigned int i = cursor.buffer; i < chain->buffers; i++) {
		uint64_t skip = i == cursor.buffer ? cursor.offset : 0;
		uint64_t bytes = chain->buffer[i].len - skip;
		if (bytes == 0)
			continue;
		void *at = ram_buffer_at(ram, chain->buffer[i].gpa + skip, bytes);
		if (!at)
			return -EPROTO;
		iov[n++] = (struct iovec){at, bytes};
		*len += bytes;
	}
	return (int)n;
}

/*
 * Sends the frame of the pair's tx.chain. Returns 0, with the frame counted and *@longest at least its length; -EAGAIN to
 * try again; or -EPROTO.
 */
static int send_frame(struct net *net, unsigned int pair, size_t *longest)
{
	struct net_backend *backend = net->config.backend[pair];
	const struct virtq_chain *chain = &net->pair[pair].tx.chain;
	const struct ram *ram = net->dev.host->ram;
	struct net_counters *counters = net_counters(net, pair, NET_TRANSMIT);
	const struct net_offloads offloads = net_offloads_of_host(net->dev.features);
	struct iovec iov[1 + VIRTIO_QUEUE_SIZE_MAX];
	struct virtio_net_hdr_v1 header;
	struct virtq_cursor cursor = {0};
	size_t len;

	if (chain->readable != chain->buffers ||
	    virtq_read(ram, chain, &cursor, &header, sizeof(header)) != sizeof(header))
		return -EPROTO;
	int n = frame_find(ram, chain, cursor, iov, &len);
	if (n < 0)
		return n;
	if (len < NET_FRAME_MIN || len > NET_FRAME_MAX ||
	    !net_header_fits(&header, len, &offloads, false)) {
		atomic_fetch_add(&counters->refused, 1);
		return 0;
	}
	int error = -ENETDOWN;
	if (net_is_up(net) && backend->fd >= 0)
		error = backend->ops->send(backend, &header, iov, (unsigned int)n, len);
	if (error == -EAGAIN)
		return error;
	if (error == -EPIPE)
		net_lost(net);
	if (error)
		atomic_fetch_add(&counters->dropped, 1);
	else
		net_count(counters, len);
	if (len > *longest)
		*longest = len;
	return 0;
}

static int send_frames(struct net *net, unsigned int pair, size_t *longest)
{
	struct virtq *q = net_queue(net, pair, NET_TRANSMIT);
	struct net_pair *mine = &net->pair[pair];

	for (unsigned int i = 0; i < TURN; i++) {
		if (!mine->tx.busy) {
			int popped = virtq_pop(q, &mine->tx.chain);
			if (popped <= 0)
				return popped;
			mine->tx.busy = true;
		}
		int error = send_frame(net, pair, longest);
		/* net_ready() calls again: do not ask for another turn. */
		if (error == -EAGAIN)
			return 0;
		if (error)
			return error;
		virtq_push(q, &mine->tx.chain, 0);
		mine->tx.busy = false;
	}
	return -EAGAIN;
}

int net_transmit(struct net *net, unsigned int pair)
{
	size_t longest = 0;
	int error = send_frames(net, pair, &longest);
	bool bulk = longest >= BULK;

	/* A turn without frames says nothing of what the guest does. */
	if (longest > 0 && bulk != net->patient && worker_set_patient(bulk))
		net->patient = bulk;
	return error;
}
