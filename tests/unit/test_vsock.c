// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/fake_vsock.h"

#define RW	 VIRTIO_VSOCK_OP_RW
#define RST	 VIRTIO_VSOCK_OP_RST
#define SHUTDOWN VIRTIO_VSOCK_OP_SHUTDOWN
#define CREDIT	 VIRTIO_VSOCK_OP_CREDIT_UPDATE
#define NO_RCV	 VIRTIO_VSOCK_SHUTDOWN_RCV
#define NO_SEND	 VIRTIO_VSOCK_SHUTDOWN_SEND

#define MUCH (1U << 20)

static uint8_t bytes[MUCH], got[MUCH];

static void setup(void)
{
	for (size_t i = 0; i < MUCH; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 251);
	vs_setup();
}

static void sends(int fd, const void *data, size_t len)
{
	ck_assert_int_eq(send(fd, data, len, MSG_NOSIGNAL), (ssize_t)len);
}

/* Takes the data of @len bytes in as many packets as they come in. */
static void gets(uint32_t guest_port, uint32_t host_port, size_t len)
{
	size_t at = 0;
	while (at < len) {
		struct vsock_packet packet;
		ck_assert_msg(vs_get(&packet, got + at), "after %zu of %zu bytes", at, len);
		ck_assert_uint_eq(packet.op, RW);
		ck_assert_uint_eq(packet.src_port, host_port);
		ck_assert_uint_eq(packet.dst_port, guest_port);
		at += packet.len;
	}
	ck_assert_uint_eq(at, len);
}

START_TEST(configuration)
{
	uint64_t cid;
	virtio_mmio_read(&vs_guest.mmio, 0x100, &cid, 4);
	virtio_mmio_read(&vs_guest.mmio, 0x104, (uint8_t *)&cid + 4, 4);
	ck_assert_uint_eq(le64toh(cid), VS_CID);
	ck_assert_uint_eq(fake_driver_get(&vs_guest, 0x08), 19);
}
END_TEST

START_TEST(a_program_reaches_the_guest)
{
	struct vsock_packet packet;
	uint32_t port;
	int fd = vs_connected(5000, &port);

	ck_assert_uint_ge(port, VSOCK_PORT_FIRST);
	sends(fd, "hello", 5);
	vs_got(RW, 5000, port, &packet);
	ck_assert_uint_eq(packet.len, 5);
	ck_assert_uint_eq(packet.room, VSOCK_ROOM);
	vs_send_data(5000, port, "answer", 6);
	ck_assert_uint_eq(vs_read(fd, got, 10), 6);
	ck_assert_mem_eq(got, "answer", 6);
	ck_assert_uint_eq(atomic_load(&vs.counters.opened), 1);
	close(fd);
}
END_TEST

/* What follows the line belongs to the guest, also if it comes with it. */
START_TEST(bytes_behind_the_line)
{
	struct vsock_packet packet;
	int fd = vs_connect();

	sends(fd, "CONN", 4);
	vs_got_nothing();
	sends(fd, "ECT 9\nGET", 9);
	ck_assert(vs_get(&packet, NULL));
	ck_assert_uint_eq(packet.op, VIRTIO_VSOCK_OP_REQUEST);
	ck_assert_uint_eq(packet.dst_port, 9);
	vs_got_nothing();
	vs_send(VIRTIO_VSOCK_OP_RESPONSE, 9, packet.src_port);
	ck_assert(vs_get(&packet, got));
	ck_assert_uint_eq(packet.len, 3);
	ck_assert_mem_eq(got, "GET", 3);
	close(fd);
}
END_TEST

START_TEST(the_guest_reaches_a_program)
{
	int fd = vs_served(1234, 80);

	vs_send_data(1234, 80, "hello", 5);
	ck_assert_uint_eq(vs_read(fd, got, 10), 5);
	sends(fd, "answer", 6);
	gets(1234, 80, 6);
	ck_assert_mem_eq(got, "answer", 6);
	close(fd);
}
END_TEST

START_TEST(nobody_serves_the_port)
{
	vs_send(VIRTIO_VSOCK_OP_REQUEST, 1234, 80);
	vsock_dialled(&vs, vs_dialled[0].call, -ENOENT);
	vs_got(RST, 1234, 80, NULL);
	vs_dial_error = -EAGAIN;
	vs_send(VIRTIO_VSOCK_OP_REQUEST, 1234, 80);
	vs_got(RST, 1234, 80, NULL);
	ck_assert_uint_eq(vs_count(), 0);
	ck_assert_uint_eq(atomic_load(&vs.counters.refused), 2);
}
END_TEST

START_TEST(no_guest_listens)
{
	struct vsock_packet packet;
	int fd = vs_connect();

	sends(fd, "CONNECT 9\n", 10);
	ck_assert(vs_get(&packet, NULL));
	vs_send(RST, 9, packet.src_port);
	vs_ended(fd);
	vs_got_nothing();
	ck_assert_uint_eq(vs_count(), 0);
}
END_TEST

START_TEST(no_driver)
{
	int fd = vs_connect();

	fake_driver_set(&vs_guest, 0x70, 0);
	sends(fd, "CONNECT 9\n", 10);
	vs_ended(fd);
	ck_assert_uint_eq(vs_count(), 0);
}
END_TEST

/* A stream is cut as the guest's room and buffers have it. */
START_TEST(no_more_than_the_guest_has_room_for)
{
	struct vsock_packet packet = vs_packet(CREDIT, 5000, 0);
	uint32_t port;
	int fd = vs_connected(5000, &port);

	ck_assert_int_gt(send(fd, bytes, 100000, MSG_NOSIGNAL), (int)VS_ROOM);
	gets(5000, port, VS_ROOM);
	vs_got_nothing();
	packet.dst_port = port;
	packet.forwarded = 1000;
	vs_send_packet(&packet, NULL, 0);
	gets(5000, port, 1000);
	ck_assert_mem_eq(got, bytes + VS_ROOM, 1000);
	vs_got_nothing();
	close(fd);
}
END_TEST

/* The reader sleeps: what it does not take is kept, up to the credit, and others go on. */
START_TEST(a_slow_reader_holds_its_own_connection)
{
	uint32_t slow, other, sent = 0, told = 0;
	struct vsock_packet packet;
	int fd = vs_connected(5000, &slow), fd2 = vs_connected(5000, &other);

	for (;;) {
		while (vs_get(&packet, NULL)) {
			ck_assert_uint_eq(packet.op, CREDIT);
			told = packet.forwarded;
		}
		if (sent - told == VSOCK_ROOM)
			break;
		uint32_t len = VSOCK_ROOM - (sent - told);
		vs_send_data(5000, slow, bytes + sent, len < 50000 ? len : 50000);
		sent += len < 50000 ? len : 50000;
		ck_assert_uint_lt(sent, MUCH);
	}
	vs_send_data(5000, other, "quick", 5);
	ck_assert_uint_eq(vs_read(fd2, got, 5), 5);
	/* All of it comes, in order, and the guest is told of the room. */
	ck_assert_uint_eq(vs_read(fd, got, sent), sent);
	ck_assert_mem_eq(got, bytes, sent);
	vs_got(CREDIT, 5000, slow, &packet);
	while (vs_get(&packet, NULL))
		;
	ck_assert_uint_le(sent - packet.forwarded, VSOCK_ROOM / 4);
	ck_assert_uint_eq(vs.connection[0].len, 0);
	ck_assert_ptr_null(vs.connection[0].buffer);
	close(fd);
	close(fd2);
}
END_TEST

START_TEST(data_in_pieces)
{
	int fd = vs_served(1, 2);
	struct vsock_packet packet = vs_packet(RW, 1, 2);

	packet.len = 10000;
	vs_send_packet(&packet, bytes, 16);
	ck_assert_uint_eq(vs_read(fd, got, 10000), 10000);
	ck_assert_mem_eq(got, bytes, 10000);
	close(fd);
}
END_TEST

START_TEST(the_guest_asks_for_its_credit)
{
	struct vsock_packet packet;
	int fd = vs_served(1, 2);

	vs_send_data(1, 2, "abc", 3);
	vs_got_nothing();
	vs_send(VIRTIO_VSOCK_OP_CREDIT_REQUEST, 1, 2);
	vs_got(CREDIT, 1, 2, &packet);
	ck_assert_uint_eq(packet.forwarded, 3);
	ck_assert_uint_eq(packet.room, VSOCK_ROOM);
	close(fd);
}
END_TEST

/* --- ends ------------------------------------------------------------------------------------ */

START_TEST(a_program_closes_half)
{
	struct vsock_packet packet;
	uint32_t port;
	int fd = vs_connected(5000, &port);

	sends(fd, "last", 4);
	shutdown(fd, SHUT_WR);
	vs_got(RW, 5000, port, NULL);
	vs_got(SHUTDOWN, 5000, port, &packet);
	ck_assert_uint_eq(packet.flags, NO_SEND);
	/* The other half works, to the end. */
	vs_send_data(5000, port, "answer", 6);
	vs_send_shutdown(5000, port, NO_RCV | NO_SEND);
	vs_got(RST, 5000, port, NULL);
	ck_assert_uint_eq(vs_read(fd, got, 10), 6);
	vs_ended(fd);
	ck_assert_uint_eq(vs_count(), 0);
}
END_TEST

START_TEST(the_guest_closes_half)
{
	uint32_t port;
	int fd = vs_connected(5000, &port);
	char byte;

	vs_send_data(5000, port, "last", 4);
	vs_send_shutdown(5000, port, NO_SEND);
	ck_assert_uint_eq(vs_read(fd, got, 10), 4);
	ck_assert_int_eq(recv(fd, &byte, 1, 0), 0);
	sends(fd, "answer", 6);
	gets(5000, port, 6);
	close(fd);
	vs_got(SHUTDOWN, 5000, port, NULL);
	vs_send(RST, 5000, port);
	ck_assert_uint_eq(vs_count(), 0);
	vs_got_nothing();
}
END_TEST

/* All that was kept reaches a slow reader after the guest has closed, then the end; the guest may use its port again. */
START_TEST(what_is_left_is_delivered)
{
	uint32_t port, sent = 0, left = 600000;
	struct vsock_packet packet;
	int fd = vs_connected(5000, &port);

	while (!vs.connection[0].len && sent < left) {
		vs_send_data(5000, port, bytes + sent, 30000);
		sent += 30000;
		while (vs_get(&packet, NULL))
			ck_assert_uint_eq(packet.op, CREDIT);
	}
	ck_assert_uint_gt(vs.connection[0].len, 0);
	vs_send_shutdown(5000, port, NO_RCV | NO_SEND);
	vs_got(RST, 5000, port, NULL);
	ck_assert_uint_eq(vs_count(), 1);
	vs_send(VIRTIO_VSOCK_OP_REQUEST, 5000, port);
	ck_assert_uint_eq(vs_dials, 1);
	vsock_dialled(&vs, vs_dialled[0].call, -ENOENT);
	vs_got(RST, 5000, port, NULL);
	ck_assert_uint_eq(vs_read(fd, got, sent), sent);
	ck_assert_mem_eq(got, bytes, sent);
	vs_ended(fd);
	ck_assert_uint_eq(vs_count(), 0);
}
END_TEST

START_TEST(a_program_closes)
{
	struct vsock_packet packet;
	uint32_t port;
	int fd = vs_connected(5000, &port);

	sends(fd, "last", 4);
	close(fd);
	vs_got(RW, 5000, port, NULL);
	vs_got(SHUTDOWN, 5000, port, &packet);
	ck_assert_uint_eq(packet.flags, NO_RCV | NO_SEND);
	vs_send(RST, 5000, port);
	ck_assert_uint_eq(vs_count(), 0);
	vs_got_nothing();
}
END_TEST

/* It closes first half, then the rest. */
START_TEST(a_program_closes_in_two_steps)
{
	struct vsock_packet packet;
	uint32_t port;
	int fd = vs_connected(5000, &port);

	shutdown(fd, SHUT_WR);
	vs_got(SHUTDOWN, 5000, port, &packet);
	ck_assert_uint_eq(packet.flags, NO_SEND);
	close(fd);
	vs_got(SHUTDOWN, 5000, port, &packet);
	ck_assert_uint_eq(packet.flags, NO_RCV | NO_SEND);
}
END_TEST

/* A program writes its last, and closes while the guest still sends: what it wrote is not lost. */
START_TEST(a_program_closes_while_the_guest_sends)
{
	struct vsock_packet packet;
	int fd = vs_served(1, 2);
	bool answered = false;

	sends(fd, "enough", 6);
	close(fd);
	vs_send_data(1, 2, bytes, 50000);
	while (vs_get(&packet, got))
		answered |= packet.op == RW && packet.len == 6;
	ck_assert(answered);
	ck_assert_uint_eq(packet.op, SHUTDOWN);
	ck_assert_uint_eq(packet.flags, NO_RCV | NO_SEND);
	/* What was on its way is counted, and goes nowhere. */
	vs_send_data(1, 2, bytes, 50000);
	vs_send(RST, 1, 2);
	ck_assert_uint_eq(vs_count(), 0);
	ck_assert(!vs_needs_reset());
}
END_TEST

START_TEST(the_guest_resets)
{
	uint32_t port;
	int fd = vs_connected(5000, &port);

	vs_send(RST, 5000, port);
	vs_ended(fd);
	vs_got_nothing();
	ck_assert_uint_eq(vs_count(), 0);
}
END_TEST

START_TEST(a_driver_that_goes_leaves_nothing)
{
	uint32_t port;
	int nameless = vs_connect(), open = vs_connected(5000, &port), served = vs_served(1, 2);

	vs_send(VIRTIO_VSOCK_OP_REQUEST, 3, 4);
	ck_assert_uint_eq(vs_count(), 4);
	fake_driver_set(&vs_guest, 0x70, 0);
	ck_assert_uint_eq(vs_count(), 0);
	vs_ended(nameless);
	vs_ended(open);
	vs_ended(served);
	/* Late: its descriptor is closed, and the next driver hears nothing of it. */
	int pair[2];
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	vs_start();
	vsock_dialled(&vs, vs_dialled[1].call, pair[0]);
	vs_ended(pair[1]);
	vs_got_nothing();
	close(vs_connected(5000, &port));
}
END_TEST

/* --- held ------------------------------------------------------------------------------------ */

START_TEST(a_held_device_leaves_the_guest_alone)
{
	struct vsock_packet packet;
	uint32_t port;
	int fd = vs_connected(5000, &port), asks = vs_connect();

	vsock_hold(&vs, true);
	sends(fd, "hello", 5);
	sends(asks, "CONNECT 6\n", 10);
	vs_got_nothing();
	/* A guest that is paused cannot answer: its time does not run. */
	vs.connection[1].deadline = 1;
	vs.timer.ready(vs.timer.ctx);
	ck_assert_uint_eq(vs_count(), 2);
	vsock_hold(&vs, false);
	unsigned int ops = 0;
	while (vs_get(&packet, NULL))
		ops |= 1U << packet.op;
	ck_assert_uint_eq(ops, 1U << RW | 1U << VIRTIO_VSOCK_OP_REQUEST);
	close(fd);
	close(asks);
}
END_TEST

Suite *vsock_suite(void);
Suite *vsock_suite(void)
{
	Suite *suite = suite_create("vsock");
	TCase *all = tcase_create("all");
	tcase_add_checked_fixture(all, setup, vs_teardown);
	tcase_add_test(all, configuration);
	tcase_add_test(all, a_program_reaches_the_guest);
	tcase_add_test(all, bytes_behind_the_line);
	tcase_add_test(all, the_guest_reaches_a_program);
	tcase_add_test(all, nobody_serves_the_port);
	tcase_add_test(all, no_guest_listens);
	tcase_add_test(all, no_driver);
	tcase_add_test(all, no_more_than_the_guest_has_room_for);
	tcase_add_test(all, a_slow_reader_holds_its_own_connection);
	tcase_add_test(all, data_in_pieces);
	tcase_add_test(all, the_guest_asks_for_its_credit);
	tcase_add_test(all, a_program_closes_half);
	tcase_add_test(all, the_guest_closes_half);
	tcase_add_test(all, what_is_left_is_delivered);
	tcase_add_test(all, a_program_closes);
	tcase_add_test(all, a_program_closes_in_two_steps);
	tcase_add_test(all, a_program_closes_while_the_guest_sends);
	tcase_add_test(all, the_guest_resets);
	tcase_add_test(all, a_driver_that_goes_leaves_nothing);
	tcase_add_test(all, a_held_device_leaves_the_guest_alone);
	suite_add_tcase(suite, all);
	return suite;
}
