// SPDX-License-Identifier: Apache-2.0
/* Sockets: packets of a guest that breaks the rules, and programs of the host that do, on sockets with one peer. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "devices/virtio-vsock/internal.h"
#include "devices/virtio-vsock/vsock.h"
#include "tests/fuzz/guest.h"
#include "vmm/lib/clock.h"

#define CALLS 16 /* that can be answered, the last ones */

static struct vsock vsock;
static struct loop loop;
static uint64_t calls[CALLS];
static unsigned int dials;
static int dial_error;

/* --- vmm/lib/loop.c: what is in it is stirred by the input --------------------------------------- */

int loop_add(struct loop *to, struct loop_source *source)
{
	MUST(to == &loop && source->fd >= 0);
	return 0;
}

int loop_add_edge(struct loop *to, struct loop_source *source)
{
	return loop_add(to, source);
}

void loop_remove(struct loop *from, struct loop_source *source)
{
	MUST(from == &loop && source->fd >= 0);
}

static void stir(void)
{
	for (unsigned int i = 0; i < VSOCK_CONNECTIONS_MAX; i++) {
		struct vsock_connection *connection = &vsock.connection[i];
		if (connection->state != VSOCK_FREE && connection->source.fd >= 0)
			connection->source.ready(connection);
	}
}

/* ------------------------------------------------------------------------------------------------- */

static int dial(void *ctx, uint64_t call, uint32_t port)
{
	(void)port;
	MUST(ctx == &vsock);
	if (!dial_error)
		calls[dials++ % CALLS] = call;
	return dial_error;
}

static struct virtio_device *plug(const struct guest_record *machine)
{
	const struct vsock_config config = {.cid = machine->a ? machine->a : 3,
					    .loop = &loop,
					    .listener = host_socket(),
					    .dial = dial,
					    .ctx = &vsock};

	memset(&vsock, 0, sizeof(vsock));
	memset(calls, 0, sizeof(calls));
	dials = 0;
	dial_error = 0;
	MUST(vsock_init(&vsock, &config, &guest.host) == 0);
	return &vsock.dev;
}

static void program_writes(uint32_t port)
{
	char line[32];
	int len = snprintf(line, sizeof(line), "CONNECT %u\n", port);

	host_peer_writes(line, (size_t)len);
	stir();
}

static void event(const struct guest_record *record)
{
	static const uint8_t bytes[HOST_SOCKET_ROOM];

	switch (record->a % 9) {
	case 0:
		vsock.listener.ready(vsock.listener.ctx);
		program_writes(record->c);
		break;
	case 1:
		host_peer_writes(bytes, record->b);
		stir();
		break;
	case 2:
		host_peer_writes(&record->c, record->b % 5);
		stir();
		break;
	case 3:
		host_peer_closes();
		stir();
		break;
	case 4:
		host_peer_reads(record->b == 0xffff ? SIZE_MAX : record->b, record->c & 1 ? EPIPE
									    : record->c & 2
										    ? ENOBUFS
										    : 0);
		stir();
		break;
	case 5:
		vsock_dialled(&vsock, record->c ? record->c : calls[record->b % CALLS],
			      record->b & 0x100 ? -ECONNREFUSED : host_socket());
		break;
	case 6:
		vsock_hold(&vsock, record->b & 1);
		break;
	case 7:
		host_time_passes(record->b * NS_PER_S);
		vsock.timer.ready(vsock.timer.ctx);
		break;
	default:
		dial_error = record->b & 1 ? -EAGAIN : 0;
	}
}

static void check(void)
{
	MUST(vsock.resets <= VSOCK_RESETS_MAX && vsock.most <= VSOCK_CONNECTIONS_MAX);
	for (unsigned int i = 0; i < VSOCK_CONNECTIONS_MAX; i++) {
		const struct vsock_connection *connection = &vsock.connection[i];
		MUST(connection->len <= VSOCK_ROOM && (!connection->len || connection->buffer));
		MUST(connection->state == VSOCK_FREE || i < vsock.most);
		MUST(connection->state != VSOCK_FREE || !connection->buffer);
	}
}

static void unplug(void)
{
	vsock_release(&vsock);
}

static size_t payload(uint32_t random, uint8_t *data)
{
	const struct vsock_packet packet = {
		.src_cid = 3,
		.dst_cid = VSOCK_HOST_CID,
		.src_port = random & 1,
		.dst_port = random >> 1 & 1 ? 2 : VSOCK_PORT_FIRST + (random >> 2 & 1),
		.len = random >> 3 & 1 ? random >> 16 : 0,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = random >> 4 & 7,
		.flags = random >> 7 & 3,
		.room = random >> 9 & 1 ? 65536 : random,
	};
	struct virtio_vsock_hdr header;

	vsock_packet_write(&packet, &header);
	memcpy(data, &header, sizeof(header));
	return sizeof(header);
}

static const uint16_t lengths[] = {44, 64, 4096, 1, 4, 8, 65535};

const struct guest_device guest_device = {
	.plug = plug,
	.event = event,
	.unplug = unplug,
	.check = check,
	.shape = {.first = 44,
		  .readable = 2,
		  .writable = 2,
		  .lengths = lengths,
		  .lengths_count = sizeof(lengths) / sizeof(lengths[0]),
		  .payload = payload},
};
