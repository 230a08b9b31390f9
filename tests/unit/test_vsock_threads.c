// SPDX-License-Identifier: Apache-2.0
/* A worker, a driver that comes and goes, programs that connect and write all the time, and a device that is held. */
#include <check.h>
#include <linux/virtio_mmio.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/fake_vsock.h"

#define TURNS 40

static atomic_bool done;

static void *worker(void *unused)
{
	(void)unused;
	while (!atomic_load(&done)) {
		loop_turn(&vs_loop, 0);
		if (!fake_driver_turn(&vs_guest))
			sched_yield();
	}
	return NULL;
}

/* Connects, writes, and reads what comes back, until its connection ends. */
static void *program(void *unused)
{
	static const char line[] = "CONNECT 5\nsome more bytes";
	uint8_t sink[4096];
	int fd = -1;

	(void)unused;
	while (!atomic_load(&done)) {
		if (fd < 0) {
			fd = vs_connect();
			send(fd, line, sizeof(line), MSG_NOSIGNAL);
		}
		bool ended = send(fd, line, sizeof(line), MSG_NOSIGNAL) < 0;
		while (recv(fd, sink, sizeof(sink), 0) > 0)
			;
		if (ended) {
			close(fd);
			fd = -1;
		}
		sched_yield();
	}
	if (fd >= 0)
		close(fd);
	return NULL;
}

static void *holder(void *unused)
{
	bool held = true;

	(void)unused;
	while (!atomic_load(&done)) {
		vsock_hold(&vs, held);
		held = !held;
		sched_yield();
	}
	vsock_hold(&vs, false);
	return NULL;
}

static void add_buffers(void)
{
	struct fake_queue *ring = &vs_guest.queue[VSOCK_RECEIVE];

	for (unsigned int i = 0; i < VS_RING; i++) {
		struct gpa_range buffer = {VS_RX + i * VS_BUFFER, VS_BUFFER};
		fake_queue_add(ring, &buffer, 1, 0);
	}
	fake_driver_set(&vs_guest, VIRTIO_MMIO_QUEUE_NOTIFY, VSOCK_RECEIVE);
}

/* Sends a header from place @i, which is free: fewer are on their way than there are places. */
static void answer(unsigned int i, uint16_t op, const struct vsock_packet *to)
{
	struct vsock_packet packet = vs_packet(op, to->dst_port, to->src_port);
	struct gpa_range buffer = {VS_TX + (i % VS_RING) * 64, VSOCK_HEADER};
	struct virtio_vsock_hdr header;

	packet.forwarded = to->len;
	vsock_packet_write(&packet, &header);
	memcpy(fake_driver_at(&vs_guest, buffer.gpa, buffer.len), &header, sizeof(header));
	fake_queue_add(&vs_guest.queue[VSOCK_TRANSMIT], &buffer, 1, 1);
	fake_driver_set(&vs_guest, VIRTIO_MMIO_QUEUE_NOTIFY, VSOCK_TRANSMIT);
}

/* Answers requests, and resets each connection once data has come. Returns a fault, or NULL. */
static const char *serve(unsigned int packets)
{
	struct fake_queue *receive = &vs_guest.queue[VSOCK_RECEIVE];
	struct fake_queue *transmit = &vs_guest.queue[VSOCK_TRANSMIT];
	struct vring_used_elem used;

	for (unsigned int n = 0, sent = 0, taken = 0; n < packets;) {
		struct virtio_vsock_hdr header;
		struct vsock_packet packet;
		while (fake_queue_used(transmit, &used))
			taken++;
		if (sent - taken > VS_RING / 2 || !fake_queue_used(receive, &used)) {
			sched_yield();
			continue;
		}
		n++;
		memcpy(&header,
		       fake_driver_at(&vs_guest, VS_RX + used.id * VS_BUFFER, VSOCK_HEADER),
		       sizeof(header));
		vsock_packet_parse(&packet, &header);
		if (packet.dst_cid != VS_CID || used.len != VSOCK_HEADER + packet.len)
			return "a packet that is none";
		if (packet.op == VIRTIO_VSOCK_OP_REQUEST)
			answer(sent++, VIRTIO_VSOCK_OP_RESPONSE, &packet);
		else if (packet.op != VIRTIO_VSOCK_OP_RST)
			answer(sent++, n % 3 ? VIRTIO_VSOCK_OP_SHUTDOWN : VIRTIO_VSOCK_OP_RST,
			       &packet);
		fake_queue_publish(receive, (uint16_t)used.id);
		fake_driver_set(&vs_guest, VIRTIO_MMIO_QUEUE_NOTIFY, VSOCK_RECEIVE);
	}
	return NULL;
}

static void *driver(void *unused)
{
	(void)unused;
	for (unsigned int turn = 0; turn < TURNS; turn++) {
		fake_driver_negotiate(&vs_guest, VS_V1);
		for (unsigned int i = 0; i < VSOCK_QUEUES; i++)
			fake_driver_queue(&vs_guest, i, VS_RING);
		fake_driver_ok(&vs_guest);
		add_buffers();
		const char *wrong = serve(turn % 2 ? 40 : 3);
		if (wrong)
			return (void *)wrong;
		fake_driver_set(&vs_guest, VIRTIO_MMIO_STATUS, 0);
		/* After the reset its memory is the driver's. */
		uint8_t *ram = fake_driver_at(&vs_guest, VS_RX, VS_RING * VS_BUFFER);
		memset(ram, 0xee, VS_RING * VS_BUFFER);
		sched_yield();
		for (size_t i = 0; i < VS_RING * VS_BUFFER; i++)
			if (ram[i] != 0xee)
				return "written to after a reset";
	}
	return NULL;
}

static void setup(void)
{
	vs_setup();
	fake_driver_set(&vs_guest, VIRTIO_MMIO_STATUS, 0);
}

START_TEST(resets_under_traffic)
{
	void *(*const run[])(void *) = {worker, program, program, holder};
	pthread_t driving, other[4];
	void *wrong;

	atomic_store(&done, false);
	for (unsigned int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&other[i], NULL, run[i], NULL), 0);
	ck_assert_int_eq(pthread_create(&driving, NULL, driver, NULL), 0);
	pthread_join(driving, &wrong);
	atomic_store(&done, true);
	for (unsigned int i = 0; i < 4; i++)
		pthread_join(other[i], NULL);
	ck_assert_msg(!wrong, "%s", (char *)wrong);
	ck_assert_uint_ge(atomic_load(&vs.counters.opened), TURNS / 2);
	ck_assert(!vs_needs_reset());
}
END_TEST

Suite *vsock_threads_suite(void);
Suite *vsock_threads_suite(void)
{
	Suite *suite = suite_create("vsock, threads");
	TCase *tcase = tcase_create("threads");
	tcase_add_checked_fixture(tcase, setup, vs_teardown);
	tcase_add_test(tcase, resets_under_traffic);
	suite_add_tcase(suite, tcase);
	return suite;
}
