// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/fake_vsock.h"

#include <check.h>
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/lib/clock.h"

struct fake_driver vs_guest;
struct vsock vs;
struct loop vs_loop;
struct vs_dialled vs_dialled[2 * VSOCK_CONNECTIONS_MAX];
unsigned int vs_dials;
int vs_dial_error;

static struct sockaddr_un address;
static socklen_t address_len;

static int dial(void *ctx, uint64_t call, uint32_t port)
{
	ck_assert_ptr_eq(ctx, &vs_dials);
	if (!vs_dial_error)
		vs_dialled[vs_dials++ % (2 * VSOCK_CONNECTIONS_MAX)] =
			(struct vs_dialled){call, port};
	return vs_dial_error;
}

/* A listener without a name in the file system. */
static int make_listener(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	address = (struct sockaddr_un){.sun_family = AF_UNIX};
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address.sun_family)), 0);
	address_len = sizeof(address);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &address_len), 0);
	ck_assert_int_eq(listen(fd, 512), 0);
	return fd;
}

void vs_plug(uint64_t cid)
{
	const struct vsock_config config = {.cid = cid,
					    .loop = &vs_loop,
					    .listener = make_listener(),
					    .dial = dial,
					    .ctx = &vs_dials};
	memset(&vs, 0, sizeof(vs));
	ck_assert_int_eq(vsock_init(&vs, &config, &vs_guest.host), 0);
	fake_driver_plug(&vs_guest, &vs.dev);
}

void vs_setup(void)
{
	vs_dials = 0;
	vs_dial_error = 0;
	fake_driver_init(&vs_guest);
	ck_assert_int_eq(loop_init(&vs_loop), 0);
	vs_plug(VS_CID);
	vs_start();
}

void vs_teardown(void)
{
	fake_driver_release(&vs_guest);
	vsock_release(&vs);
	loop_release(&vs_loop);
}

void vs_start(void)
{
	fake_driver_start(&vs_guest, VS_V1, VSOCK_QUEUES, VS_RING);
	vs_give(VS_RING);
}

bool vs_needs_reset(void)
{
	return fake_driver_get(&vs_guest, 0x70) & 0x40;
}

void vs_give(unsigned int n)
{
	struct fake_queue *ring = &vs_guest.queue[VSOCK_RECEIVE];

	for (unsigned int i = 0; i < n; i++) {
		struct gpa_range buffer = {VS_RX + ring->next_desc % ring->size * VS_BUFFER,
					   VS_BUFFER};
		fake_queue_add(ring, &buffer, 1, 0);
	}
	fake_driver_kick(&vs_guest, VSOCK_RECEIVE);
}

void vs_work(void)
{
	/* The kernel reports ready sources in turn, one each time. */
	for (unsigned int i = 0; i < 2 * vs.most + 16; i++) {
		ck_assert_int_eq(loop_turn(&vs_loop, 0), 0);
		fake_driver_work(&vs_guest);
	}
}

struct vsock_packet vs_packet(uint16_t op, uint32_t guest_port, uint32_t host_port)
{
	return (struct vsock_packet){.src_cid = VS_CID,
				     .dst_cid = VSOCK_HOST_CID,
				     .src_port = guest_port,
				     .dst_port = host_port,
				     .type = VIRTIO_VSOCK_TYPE_STREAM,
				     .op = op,
				     .room = VS_ROOM};
}

void vs_send_packet(const struct vsock_packet *packet, const void *data, unsigned int pieces)
{
	struct fake_queue *ring = &vs_guest.queue[VSOCK_TRANSMIT];
	struct virtio_vsock_hdr header;
	struct vring_used_elem used;
	struct gpa_range buffer[17] = {{VS_TX, sizeof(header)}};
	uint64_t gpa = VS_TX + VS_BUFFER;
	uint32_t len = data ? packet->len : 0;

	vsock_packet_write(packet, &header);
	memcpy(fake_driver_at(&vs_guest, VS_TX, sizeof(header)), &header, sizeof(header));
	if (len)
		memcpy(fake_driver_at(&vs_guest, gpa, len), data, len);
	for (unsigned int i = 0; i < pieces; i++) {
		uint32_t from = (uint32_t)((uint64_t)len * i / pieces);
		uint32_t to = (uint32_t)((uint64_t)len * (i + 1) / pieces);
		buffer[1 + i] = (struct gpa_range){gpa + from, to - from};
	}
	fake_queue_add(ring, buffer, 1 + pieces, 1 + pieces);
	fake_driver_kick(&vs_guest, VSOCK_TRANSMIT);
	while (fake_queue_used(ring, &used))
		ck_assert_uint_eq(used.len, 0);
}

void vs_send(uint16_t op, uint32_t guest_port, uint32_t host_port)
{
	struct vsock_packet packet = vs_packet(op, guest_port, host_port);
	vs_send_packet(&packet, NULL, 0);
}

void vs_send_data(uint32_t guest_port, uint32_t host_port, const void *data, uint32_t len)
{
	struct vsock_packet packet = vs_packet(VIRTIO_VSOCK_OP_RW, guest_port, host_port);
	packet.len = len;
	vs_send_packet(&packet, data, 1);
}

void vs_send_shutdown(uint32_t guest_port, uint32_t host_port, uint32_t flags)
{
	struct vsock_packet packet = vs_packet(VIRTIO_VSOCK_OP_SHUTDOWN, guest_port, host_port);
	packet.flags = flags;
	vs_send_packet(&packet, NULL, 0);
}

bool vs_get(struct vsock_packet *packet, uint8_t *data)
{
	struct fake_queue *ring = &vs_guest.queue[VSOCK_RECEIVE];
	struct vring_used_elem used;

	vs_work();
	if (!fake_queue_used(ring, &used))
		return false;
	const uint8_t *bytes =
		fake_driver_at(&vs_guest, le64toh(ring->desc[used.id].addr), VS_BUFFER);
	struct virtio_vsock_hdr header;
	memcpy(&header, bytes, sizeof(header));
	vsock_packet_parse(packet, &header);
	ck_assert_uint_eq(used.len, sizeof(header) + packet->len);
	ck_assert_uint_le(used.len, VS_BUFFER);
	ck_assert_uint_eq(packet->dst_cid, VS_CID);
	if (data)
		memcpy(data, bytes + sizeof(header), packet->len);
	fake_queue_publish(ring, (uint16_t)used.id);
	fake_driver_kick(&vs_guest, VSOCK_RECEIVE);
	return true;
}

void vs_got(uint16_t op, uint32_t guest_port, uint32_t host_port, struct vsock_packet *packet)
{
	struct vsock_packet own;

	packet = packet ? packet : &own;
	ck_assert_msg(vs_get(packet, NULL), "no packet, instead of one of op %u", op);
	ck_assert_uint_eq(packet->op, op);
	ck_assert_uint_eq(packet->dst_port, guest_port);
	ck_assert_uint_eq(packet->src_port, host_port);
	ck_assert_uint_eq(packet->src_cid, VSOCK_HOST_CID);
	ck_assert_uint_eq(packet->type, VIRTIO_VSOCK_TYPE_STREAM);
}

void vs_got_nothing(void)
{
	struct vsock_packet packet;
	ck_assert_msg(!vs_get(&packet, NULL), "a packet of op %u", packet.op);
}

int vs_connect(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	/* A device on a thread of its own may not have accepted the ones before, on a busy machine. */
	int error = -1;
	for (int i = 0; i < 30000 && error; i++) {
		error = connect(fd, (struct sockaddr *)&address, address_len);
		if (error && errno != EAGAIN)
			break;
		if (error)
			clock_sleep_ms(1);
	}
	ck_assert_int_eq(error, 0);
	return fd;
}

int vs_connected(uint32_t guest_port, uint32_t *host_port)
{
	char line[32], want[32];
	struct vsock_packet packet;
	int fd = vs_connect();

	int len = snprintf(line, sizeof(line), "CONNECT %u\n", guest_port);
	ck_assert_int_eq(send(fd, line, (size_t)len, MSG_NOSIGNAL), len);
	ck_assert(vs_get(&packet, NULL));
	ck_assert_uint_eq(packet.op, VIRTIO_VSOCK_OP_REQUEST);
	ck_assert_uint_eq(packet.dst_port, guest_port);
	*host_port = packet.src_port;
	vs_send(VIRTIO_VSOCK_OP_RESPONSE, guest_port, *host_port);
	len = snprintf(want, sizeof(want), "OK %u\n", *host_port);
	ck_assert_int_eq(vs_read(fd, line, (size_t)len), len);
	ck_assert_mem_eq(line, want, (size_t)len);
	return fd;
}

int vs_served(uint32_t guest_port, uint32_t host_port)
{
	int pair[2];
	unsigned int before = vs_dials;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	vs_send(VIRTIO_VSOCK_OP_REQUEST, guest_port, host_port);
	ck_assert_uint_eq(vs_dials, before + 1);
	ck_assert_uint_eq(vs_dialled[before].port, host_port);
	vs_got_nothing();
	vsock_dialled(&vs, vs_dialled[before].call, pair[0]);
	vs_got(VIRTIO_VSOCK_OP_RESPONSE, guest_port, host_port, NULL);
	return pair[1];
}

void vs_ended(int fd)
{
	char byte;
	vs_work();
	ssize_t got = recv(fd, &byte, 1, 0);
	ck_assert_msg(got == 0 || (got < 0 && errno == ECONNRESET), "not ended: %zd", got);
	close(fd);
}

size_t vs_read(int fd, void *data, size_t len)
{
	size_t done = 0;

	while (done < len) {
		vs_work();
		ssize_t got = recv(fd, (uint8_t *)data + done, len - done, 0);
		if (got <= 0)
			break;
		done += (size_t)got;
	}
	return done;
}

unsigned int vs_count(void)
{
	unsigned int n = 0;
	for (unsigned int i = 0; i < VSOCK_CONNECTIONS_MAX; i++)
		n += vs.connection[i].state != VSOCK_FREE;
	return n;
}
