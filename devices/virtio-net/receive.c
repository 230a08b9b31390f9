// SPDX-License-Identifier: Apache-2.0
/* Frames for the guest. */
#include <endian.h>
#include <errno.h>

#include "devices/virtio-net/header.h"
#include "devices/virtio-net/net.h"

/* Frames in a turn, which a reset waits for. */
#define TURN 64
/*
 * Chains that one frame may take: more than the longest frame needs in buffers of an ordinary
 * frame's length.
 */
#define MERGE_MAX 64

enum delivery { DELIVERED, NO_ROOM, TOO_LONG };

static bool negotiated(const struct net *net, unsigned int bit)
{
	return net->dev.features >> bit & 1;
}

/* Writes @data to the chain, from its byte @offset on. Returns how much fits into it, or -EPROTO if it is not RAM. */
static ssize_t chain_write(const struct ram *ram, const struct virtq_chain *chain, size_t offset,
			   const void *data, size_t len)
{
	size_t done = 0;

	for (unsigned int i = 0; i < chain->buffers && done < len; i++) {
		const struct gpa_range *buffer = &chain->buffer[i];
		if (offset >= buffer->len) {
			offset -= buffer->len;
			continue;
		}
		size_t piece = buffer->len - offset;
		if (piece > len - done)
			piece = len - done;
		/* The whole buffer must be RAM, or the sum could wrap. */
		if (!ram_buffer_at(ram, buffer->gpa, buffer->len) ||
		    ram_write(ram, buffer->gpa + offset, (const uint8_t *)data + done, piece))
			return -EPROTO;
		done += piece;
		offset = 0;
	}
	return (ssize_t)done;
}

/*
 * Writes the frame of the pair's rx into as many chains as it needs, and returns them all at once: the
 * driver takes them as one (virtio 1.2 §5.1.6.4). Returns one of enum delivery, or -EPROTO; only
 * DELIVERED takes chains.
 */
static int deliver(struct net *net, unsigned int pair)
{
	struct net_pair *mine = &net->pair[pair];
	struct virtq *q = net_queue(net, pair, NET_RECEIVE);
	const struct ram *ram = net->dev.host->ram;
	struct virtio_net_hdr_v1 *header = &mine->rx.header;
	unsigned int most = negotiated(net, VIRTIO_NET_F_MRG_RXBUF) ? MERGE_MAX : 1;
	struct virtq_done done[MERGE_MAX];
	struct virtq_chain chains[2]; /* the first, and the current one */
	unsigned int n = 0;
	size_t at = 0;

	do {
		struct virtq_chain *chain = &chains[n > 0];
		size_t before = n == 0 ? sizeof(*header) : 0;
		if (n == most || n == q->size) {
			virtq_unpop(q, n);
			return TOO_LONG;
		}
		int popped = virtq_pop(q, chain);
		if (popped <= 0) {
			virtq_unpop(q, n);
			return popped ? popped : NO_ROOM;
		}
		n++;
		ssize_t written =
			chain_write(ram, chain, before, mine->rx.frame + at, mine->rx.len - at);
		/*
		 * The first may have room for the header alone, the others must take a part of the
		 * frame.
		 */
		if (chain->readable || written < 0 || (written == 0 && n > 1))
			return -EPROTO;
		done[n - 1] = (struct virtq_done){chain->head, (uint32_t)(before + written)};
		at += written;
	} while (at < mine->rx.len);
	header->num_buffers = htole16(n);
	if (chain_write(ram, &chains[0], 0, header, sizeof(*header)) != sizeof(*header))
		return -EPROTO;
	virtq_push_all(q, done, n);
	return DELIVERED;
}

/*
 * Sets the pair's rx to the next frame. Returns 1, 0 if there is none now, or -EAGAIN if it was dropped.
 */
static int take(struct net *net, unsigned int pair)
{
	struct net_backend *backend = net->config.backend[pair];
	struct net_counters *counters = net_counters(net, pair, NET_RECEIVE);
	struct net_pair *mine = &net->pair[pair];
	const struct net_offloads offloads = net_offloads_of_guest(net->dev.features);

	if (backend->fd < 0)
		return 0;
	ssize_t len = backend->ops->receive(backend, &mine->rx.header, &mine->rx.frame);
	if (len == -EAGAIN)
		return 0;
	if (len < 0) {
		net_lost(net);
		return 0;
	}
	if (len < NET_FRAME_MIN || len > NET_FRAME_MAX ||
	    !net_header_fits(&mine->rx.header, (size_t)len, &offloads, true)) {
		atomic_fetch_add(&counters->refused, 1);
		return -EAGAIN;
	}
	if (!net_is_up(net)) {
		atomic_fetch_add(&counters->dropped, 1);
		return -EAGAIN;
	}
	mine->rx.len = (size_t)len;
	return 1;
}

int net_receive(struct net *net, unsigned int pair)
{
	struct net_counters *counters = net_counters(net, pair, NET_RECEIVE);
	struct net_pair *mine = &net->pair[pair];

	if (pair >= atomic_load(&net->pairs))
		return 0;
	for (unsigned int i = 0; i < TURN; i++) {
		if (mine->rx.len == 0) {
			int taken = take(net, pair);
			if (taken == 0)
				return 0;
			if (taken < 0)
				continue;
		}
		int result = deliver(net, pair);
		/* The driver rings when it has made room. */
		if (result == NO_ROOM)
			return 0;
		if (result < 0)
			return result;
		if (result == DELIVERED)
			net_count(counters, mine->rx.len);
		else
			atomic_fetch_add(&counters->dropped, 1);
		mine->rx.len = 0;
	}
	return -EAGAIN;
}
