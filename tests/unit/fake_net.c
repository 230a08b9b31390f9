// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/fake_net.h"

#include <check.h>
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct fake_driver net_guest;
struct net net;
struct stream net_stream;
int net_peer;
unsigned int net_lost_times;

static const uint8_t usual[6] = {2, 0, 0, 1, 2, 3};

static void lost(void *ctx)
{
	(void)ctx;
	net_lost_times++;
	stream_detach(&net_stream);
}

void net_setup(void)
{
	net_setup_with(NULL, NULL);
}

static void plug(const uint8_t mac[6], struct vhost *vhost,
		 void (*lend)(void *ctx, unsigned int pair, bool lent))
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	net_peer = pair[1];
	net_lost_times = 0;
	stream_init(&net_stream);
	stream_attach(&net_stream, pair[0]);
	struct net_config config = {.mtu = 1500,
				    .pairs = 1,
				    .backend = {&net_stream.backend},
				    .lost = lost,
				    .vhost = {vhost},
				    .lend = lend};
	memcpy(config.mac, mac, sizeof(config.mac));
	net_init(&net, &config, &net_guest.host);
	fake_driver_plug(&net_guest, &net.dev);
}

void net_setup_with(struct vhost *vhost, void (*lend)(void *ctx, unsigned int pair, bool lent))
{
	fake_driver_init(&net_guest);
	plug(usual, vhost, lend);
}

void net_plug_another(void)
{
	static const uint8_t other[6] = {2, 9, 9, 9, 9, 9};

	virtio_mmio_release(&net_guest.mmio);
	stream_release(&net_stream);
	close(net_peer);
	net_guest.deferred = 0;
	plug(other, NULL, NULL);
}

void net_teardown(void)
{
	fake_driver_release(&net_guest);
	stream_release(&net_stream);
	close(net_peer);
}

void net_start(uint64_t features)
{
	fake_driver_start(&net_guest, features, NET_QUEUES, NET_RING);
}

void net_give(unsigned int n)
{
	struct fake_queue *ring = &net_guest.queue[NET_RECEIVE];

	for (unsigned int i = 0; i < n; i++) {
		struct gpa_range buffer = {NET_RX + ring->next_desc % ring->size * NET_BUFFER,
					   NET_BUFFER};
		memset(fake_driver_at(&net_guest, buffer.gpa, buffer.len), 0xee, buffer.len);
		fake_queue_add(ring, &buffer, 1, 0);
	}
	fake_driver_kick(&net_guest, NET_RECEIVE);
}

static void fill(uint8_t *frame, size_t len, uint8_t tag)
{
	for (size_t i = 0; i < len; i++)
		frame[i] = (uint8_t)(tag + i);
}

bool net_frame_is(const uint8_t *frame, size_t len, uint8_t tag)
{
	for (size_t i = 0; i < len; i++)
		if (frame[i] != (uint8_t)(tag + i))
			return false;
	return true;
}

void net_peer_writes(const void *bytes, size_t len)
{
	const uint8_t *from = bytes;
	while (len > 0) {
		ssize_t sent = send(net_peer, from, len, MSG_NOSIGNAL);
		ck_assert_msg(sent > 0 || errno == EAGAIN, "%s", strerror(errno));
		from += sent > 0 ? sent : 0;
		len -= sent > 0 ? (size_t)sent : 0;
		net_ready(&net, 0);
		fake_driver_work(&net_guest);
	}
}

void net_peer_sends(size_t len, uint8_t tag)
{
	static uint8_t bytes[4 + STREAM_FRAME_MAX];
	uint32_t length = htobe32((uint32_t)len);

	memcpy(bytes, &length, 4);
	fill(bytes + 4, len, tag);
	net_peer_writes(bytes, 4 + len);
}

static bool get(uint8_t *to, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t got = recv(net_peer, to + done, len - done, 0);
		if (got < 0 && done == 0)
			return false;
		/* What is half sent goes on when there is room again. */
		net_ready(&net, 0);
		fake_driver_work(&net_guest);
		done += got > 0 ? (size_t)got : 0;
	}
	return true;
}

size_t net_peer_gets(uint8_t *frame)
{
	uint32_t length;
	if (!get((uint8_t *)&length, 4))
		return 0;
	length = be32toh(length);
	ck_assert_uint_le(length, STREAM_FRAME_MAX);
	while (!get(frame, length))
		;
	return length;
}

bool net_sends_with(const struct virtio_net_hdr_v1 *header, size_t len, uint8_t tag,
		    unsigned int pieces)
{
	struct fake_queue *ring = &net_guest.queue[NET_TRANSMIT];
	struct vring_used_elem element;
	struct gpa_range buffer[16];
	size_t total = NET_HEADER + len;

	memcpy(fake_driver_at(&net_guest, NET_TX, NET_HEADER), header, NET_HEADER);
	fill(fake_driver_at(&net_guest, NET_TX + NET_HEADER, len + 1), len, tag);
	for (unsigned int i = 0; i < pieces; i++)
		buffer[i] = (struct gpa_range){NET_TX + total * i / pieces,
					       total * (i + 1) / pieces - total * i / pieces};
	fake_queue_add(ring, buffer, pieces, pieces);
	fake_driver_kick(&net_guest, NET_TRANSMIT);
	return fake_queue_used(ring, &element);
}

bool net_sends(size_t len, uint8_t tag)
{
	const struct virtio_net_hdr_v1 header = {0};
	return net_sends_with(&header, len, tag, 1);
}

void net_got(size_t len, uint8_t tag, unsigned int buffers)
{
	struct fake_queue *ring = &net_guest.queue[NET_RECEIVE];
	struct virtio_net_hdr_v1 header;
	size_t at = 0;

	for (unsigned int i = 0; i < buffers; i++) {
		struct vring_used_elem element;
		size_t skip = i == 0 ? NET_HEADER : 0;
		ck_assert_msg(fake_queue_used(ring, &element), "buffer %u of %u", i, buffers);
		ck_assert_uint_le(element.len, NET_BUFFER);
		const uint8_t *bytes =
			fake_driver_at(&net_guest, ring->desc[element.id].addr, NET_BUFFER);
		if (i == 0)
			memcpy(&header, bytes, NET_HEADER);
		ck_assert(net_frame_is(bytes + skip, element.len - skip, (uint8_t)(tag + at)));
		/* Nothing was written behind what counts. */
		for (size_t rest = element.len; rest < NET_BUFFER; rest++)
			ck_assert_uint_eq(bytes[rest], 0xee);
		at += element.len - skip;
	}
	ck_assert_uint_eq(at, len);
	ck_assert_uint_eq(le16toh(header.num_buffers), buffers);
	ck_assert_uint_eq(header.flags | header.gso_type, 0);
}

bool net_needs_reset(void)
{
	return fake_driver_get(&net_guest, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET;
}
