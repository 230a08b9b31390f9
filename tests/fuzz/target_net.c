// SPDX-License-Identifier: Apache-2.0
/*
 * A network: frames of a guest that breaks the rules, and of a passt that does; or of a tap with offloads,
 * whose queues a vhost of the host's kernel serves now and then; a tap may have several pairs of queues.
 */
#include <endian.h>
#include <errno.h>
#include <linux/vhost.h>
#include <string.h>

#include "devices/virtio-net/net.h"
#include "devices/virtio-net/stream.h"
#include "tests/fuzz/guest.h"

/* Of the machine's record. */
#define WITH_TAP   0x01 /* whole frames with headers, instead of passt's stream */
#define WITH_VHOST 0x02
#define NO_MTU	   0x04
/* With a tap, so many pairs of queues: 1 to 3. */
#define PAIRS(a)  (1 + ((a) >> 3) % 3)
#define PAIRS_MAX 3

#define OFFLOADS                                                                                   \
	(1ULL << VIRTIO_NET_F_CSUM | 1ULL << VIRTIO_NET_F_GUEST_CSUM |                             \
	 1ULL << VIRTIO_NET_F_HOST_TSO4 | 1ULL << VIRTIO_NET_F_HOST_TSO6 |                         \
	 1ULL << VIRTIO_NET_F_HOST_ECN | 1ULL << VIRTIO_NET_F_GUEST_TSO4 |                         \
	 1ULL << VIRTIO_NET_F_GUEST_TSO6 | 1ULL << VIRTIO_NET_F_GUEST_ECN)

static struct net net;
static struct stream stream;
static struct vhost vhost[PAIRS_MAX];

/* --- a backend of whole frames, as a tap ------------------------------------------------------- */

static struct {
	struct net_backend backend[PAIRS_MAX];
	bool attached[PAIRS_MAX];
	uint8_t frame[NET_FRAME_MAX];
	size_t len; /* of the next frame; 0: none */
	struct virtio_net_hdr_v1 header;
	int error; /* of the next call */
} tap;

static unsigned int pair_of(const struct net_backend *backend)
{
	MUST(backend >= tap.backend && backend < tap.backend + net.config.pairs);
	return (unsigned int)(backend - tap.backend);
}

static int tap_error(void)
{
	int error = tap.error;
	if (error != -EPIPE)
		tap.error = 0;
	return error;
}

static int tap_send(struct net_backend *backend, const struct virtio_net_hdr_v1 *header,
		    struct iovec *iov, unsigned int n, size_t len)
{
	size_t sum = 0;

	pair_of(backend);
	MUST(n >= 2 && n <= 1 + VIRTIO_QUEUE_SIZE_MAX);
	MUST(len >= NET_FRAME_MIN && len <= NET_FRAME_MAX);
	for (unsigned int i = 1; i < n; i++) {
		MUST(iov[i].iov_len > 0 && sum + iov[i].iov_len <= len);
		memcpy(tap.frame + sum, iov[i].iov_base, iov[i].iov_len);
		sum += iov[i].iov_len;
	}
	MUST(sum == len);
	/* What the host's kernel would refuse, or worse. */
	MUST(!(header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) ||
	     (size_t)header->csum_start + header->csum_offset + 2 <= len);
	MUST(header->gso_type == VIRTIO_NET_HDR_GSO_NONE || header->gso_size > 0);
	return tap_error();
}

static ssize_t tap_receive(struct net_backend *backend, struct virtio_net_hdr_v1 *header,
			   const uint8_t **frame)
{
	size_t len = tap.len;
	int error = tap_error();

	/* Of the others nobody would have the frames. */
	MUST(pair_of(backend) < net.pairs && tap.attached[pair_of(backend)]);
	if (error)
		return error;
	*header = tap.header;
	*frame = tap.frame;
	tap.len = 0;
	return len ? (ssize_t)len : -EAGAIN;
}

static int tap_attach(struct net_backend *backend, bool on)
{
	int error = tap.error == -EFAULT ? tap_error() : 0;
	unsigned int pair = pair_of(backend);

	MUST(pair > 0 && (on || !vhost[pair].running));
	if (!error)
		tap.attached[pair] = on;
	return error;
}

static const struct net_backend_ops tap_ops = {
	.send = tap_send,
	.receive = tap_receive,
	.attach = tap_attach,
};

/* --- vhost: the host's kernel, which is honest but may fail ------------------------------------- */

static unsigned int refused_in; /* calls to go until one fails; 0: none does */
static uint16_t served[PAIRS_MAX][NET_QUEUES];

static int control(const struct vhost *asked, unsigned long request, void *argument)
{
	const unsigned int pair = (unsigned int)(asked - vhost);

	MUST(pair < net.config.pairs || request == VHOST_GET_FEATURES);
	if (request == VHOST_GET_FEATURES) {
		*(uint64_t *)argument = NET_VHOST_NEEDS | 1ULL << VIRTIO_RING_F_EVENT_IDX |
					1ULL << VIRTIO_RING_F_INDIRECT_DESC;
		return 0;
	}
	if (refused_in && --refused_in == 0)
		return -ENOMEM;
	if (request == VHOST_SET_VRING_BASE) {
		const struct vhost_vring_state *state = argument;
		/* The kernel begins with the first chain that was not returned. */
		MUST(state->index < NET_QUEUES);
		MUST((uint16_t)state->num ==
		     net.dev.queue[pair * NET_QUEUES + state->index].next_used);
		served[pair][state->index] = (uint16_t)state->num;
	}
	if (request == VHOST_GET_VRING_BASE) {
		struct vhost_vring_state *state = argument;
		MUST(state->index < NET_QUEUES);
		state->num = served[pair][state->index];
	}
	return 0;
}

static void lend(void *ctx, unsigned int pair, bool lent)
{
	(void)ctx, (void)lent;
	MUST(pair < net.config.pairs);
}

/* --------------------------------------------------------------------------------------------- */

static void lost(void *ctx)
{
	(void)ctx;
	if (net.config.backend[0] == &stream.backend)
		stream_detach(&stream);
}

static void plug_pair(struct net_config *config, unsigned int i, bool with_vhost)
{
	tap.backend[i] = (struct net_backend){&tap_ops, 9, OFFLOADS};
	tap.attached[i] = i == 0;
	config->backend[i] = &tap.backend[i];
	if (!with_vhost)
		return;
	vhost[i] = (struct vhost){.fd = -1, .broken = -1, .control = control};
	MUST(vhost_init(&vhost[i], "fuzz", NET_VHOST_NEEDS) == 0);
	config->vhost[i] = &vhost[i];
}

/* A backend's descriptor became readable or writable. */
static void ready(const struct guest_record *record)
{
	net_ready(&net, record->a / 10 % net.config.pairs);
}

static struct virtio_device *plug(const struct guest_record *machine)
{
	struct net_config config = {.mac = {2, 0, 0, 0, 0, 1},
				    .mtu = machine->a & NO_MTU ? 0 : 1500,
				    .pairs = 1,
				    .lost = lost,
				    .lend = lend};

	stream_init(&stream);
	tap.len = 0;
	tap.error = 0;
	refused_in = 0;
	memset(served, 0, sizeof(served));
	memset(vhost, 0, sizeof(vhost));
	if (machine->a & WITH_TAP) {
		config.pairs = PAIRS(machine->a);
		config.save_advice = "the host's";
		for (unsigned int i = 0; i < config.pairs; i++)
			plug_pair(&config, i, machine->a & WITH_VHOST);
	} else {
		stream_attach(&stream, host_socket());
		config.backend[0] = &stream.backend;
	}
	net_init(&net, &config, &guest.host);
	return &net.dev;
}

/* A frame of @len bytes comes, or the start of one; @lie is its length in the stream. */
static void frame_comes(const struct guest_record *record, size_t len, uint32_t lie)
{
	static const uint8_t bytes[NET_FRAME_MAX] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8};
	uint32_t length = htobe32(lie);

	if (len > sizeof(bytes))
		len = sizeof(bytes);
	tap.len = lie <= NET_FRAME_MAX ? lie : len;
	host_peer_writes(&length, sizeof(length));
	host_peer_writes(bytes, len);
	ready(record);
}

static void event(const struct guest_record *record)
{
	static const int errors[] = {0, -EAGAIN, -EPIPE, -EFAULT};
	const uint32_t c = record->c;

	/* As long as a command has to wait. */
	net.next_command = 0;
	switch (record->a % 10) {
	case 0:
		frame_comes(record, record->b, record->b);
		break;
	case 1:
		frame_comes(record, record->b, c);
		break;
	case 2:
		tap.header = (struct virtio_net_hdr_v1){.flags = c & 3,
							.gso_type = c >> 8 & 0x87,
							.gso_size = c >> 16 & 0x7ff,
							.csum_start = record->b & 0xff,
							.csum_offset = record->b >> 8};
		break;
	case 3:
		host_peer_closes();
		ready(record);
		break;
	case 4:
		host_peer_reads(record->b == 0xffff ? SIZE_MAX : record->b, c & 1 ? ENOBUFS : 0);
		ready(record);
		break;
	case 5:
		net_set_link(&net, record->b & 1);
		break;
	case 6:
		net_hold(&net, record->b & 1);
		break;
	case 7:
		/* passt runs again. */
		if (net.config.backend[0] == &stream.backend && stream.backend.fd < 0) {
			stream_attach(&stream, host_socket());
			net_set_carrier(&net, true);
		}
		break;
	case 8:
		tap.error = errors[record->b & 3];
		ready(record);
		break;
	default:
		refused_in = record->b & 31;
		if (record->b & 0x100)
			virtio_queues_broken(&net.dev);
	}
}

static unsigned int held(unsigned int queue)
{
	return queue < net.config.pairs * NET_QUEUES && queue % NET_QUEUES == NET_TRANSMIT &&
	       net.pair[queue / NET_QUEUES].tx.busy;
}

static void unplug(void)
{
	for (unsigned int i = 0; i < PAIRS_MAX; i++) {
		MUST(!vhost[i].running);
		vhost_release(&vhost[i]);
	}
	stream_release(&stream);
}

static size_t payload(uint32_t random, uint8_t *data)
{
	const struct virtio_net_hdr_v1 header = {.flags = random & 1,
						 .gso_type =
							 random >> 2 & 1 ? random >> 8 & 0x87 : 0,
						 .gso_size = random >> 16 & 0x7ff,
						 .csum_start = random >> 20 & 31,
						 .csum_offset = random >> 25 & 15};
	const uint8_t pairs[] = {VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET,
				 random >> 8 & 3, 0};

	if (random >> 3 & 1) {
		memcpy(data, pairs, sizeof(pairs));
		return sizeof(pairs);
	}
	memcpy(data, &header, sizeof(header));
	return sizeof(header);
}

static const uint16_t lengths[] = {12, 4, 14, 60, 1514, 1526, 64, 512, 65535, 1};

const struct guest_device guest_device = {
	.plug = plug,
	.event = event,
	.unplug = unplug,
	.held = held,
	.shape = {.readable = 2,
		  .writable = 2,
		  .lengths = lengths,
		  .lengths_count = sizeof(lengths) / sizeof(lengths[0]),
		  .payload = payload},
};
