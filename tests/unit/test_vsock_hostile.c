// SPDX-License-Identifier: Apache-2.0
/* Guests and programs that keep to no rule: a connection ends, or the device stops until it is reset; nothing else. */
#include <check.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/fake_vsock.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))
#define RW	     VIRTIO_VSOCK_OP_RW
#define RST	     VIRTIO_VSOCK_OP_RST
#define REQUEST	     VIRTIO_VSOCK_OP_REQUEST
#define RESPONSE     VIRTIO_VSOCK_OP_RESPONSE
#define HEADER	     44

static uint8_t bytes[VSOCK_ROOM + 1];

static void serves_again(void)
{
	uint32_t port;
	vs_start();
	ck_assert(!vs_needs_reset());
	close(vs_connected(5000, &port));
}

/* --- chains ---------------------------------------------------------------------------------- */

static const struct {
	const char *what;
	unsigned int buffers, readable;
	struct gpa_range buffer[3];
	uint32_t len; /* that the header of a data packet tells */
} sent[] = {
	{"nothing", 1, 1, {{VS_TX, 0}}, 0},
	{"half a header", 1, 1, {{VS_TX, HEADER - 1}}, 0},
	{"a writable buffer", 2, 1, {{VS_TX, HEADER}, {VS_TX, 100}}, 0},
	{"only a writable buffer", 1, 0, {{VS_TX, HEADER}}, 0},
	{"a header that is not RAM", 1, 1, {{LOW_END, HEADER}}, 0},
	{"a header half in RAM", 1, 1, {{LOW_END - 6, HEADER}}, 0},
	{"no data", 1, 1, {{VS_TX, HEADER}}, 1},
	{"less data than told", 2, 2, {{VS_TX, HEADER}, {VS_TX, 99}}, 100},
	{"4 GiB of data", 2, 2, {{VS_TX, HEADER}, {VS_TX, 99}}, UINT32_MAX},
	{"data that is not RAM", 2, 2, {{VS_TX, HEADER}, {LOW_END, 100}}, 100},
	{"data half in RAM", 2, 2, {{VS_TX, HEADER}, {LOW_END - 50, 100}}, 100},
	{"data that wraps", 2, 2, {{VS_TX, HEADER}, {UINT64_MAX - 10, 100}}, 100},
};

START_TEST(no_packet_to_send)
{
	struct vsock_packet packet = vs_packet(RW, 1, 2);
	struct virtio_vsock_hdr header;
	struct vring_used_elem used;
	int fd = vs_served(1, 2);

	packet.len = sent[_i].len;
	vsock_packet_write(&packet, &header);
	memcpy(fake_driver_at(&vs_guest, VS_TX, HEADER), &header, HEADER);
	fake_queue_add(&vs_guest.queue[VSOCK_TRANSMIT], sent[_i].buffer, sent[_i].buffers,
		       sent[_i].readable);
	fake_driver_kick(&vs_guest, VSOCK_TRANSMIT);
	ck_assert_msg(vs_needs_reset(), "%s", sent[_i].what);
	ck_assert(!fake_queue_used(&vs_guest.queue[VSOCK_TRANSMIT], &used));
	serves_again();
	vs_ended(fd);
}
END_TEST

static const struct {
	const char *what;
	unsigned int buffers, readable;
	struct gpa_range buffer[3];
} received[] = {
	{"a readable buffer", 1, 1, {{VS_RX, 4096}}},
	{"a readable buffer first", 2, 1, {{VS_RX, 4096}, {VS_RX, 4096}}},
	{"no room for a header", 1, 0, {{VS_RX, HEADER - 1}}},
	{"room for a header only", 1, 0, {{VS_RX, HEADER}}},
	{"empty buffers", 3, 0, {{VS_RX, 0}, {VS_RX, 0}, {VS_RX, 0}}},
	{"not RAM", 1, 0, {{LOW_END, 4096}}},
	{"half in RAM", 1, 0, {{LOW_END - 2048, 4096}}},
	{"wraps", 1, 0, {{UINT64_MAX - HEADER, 4096}}},
	{"the second wraps", 2, 0, {{VS_RX, HEADER}, {UINT64_MAX - 11, 4096}}},
	{"the second is not RAM", 2, 0, {{VS_RX, HEADER}, {HIGH_END, 4096}}},
	{"a header that is not RAM", 2, 0, {{LOW_END, HEADER}, {VS_RX, 4096}}},
};

START_TEST(no_room_for_data)
{
	struct fake_queue *ring = &vs_guest.queue[VSOCK_RECEIVE];
	int fd = vs_served(1, 2);

	/* The driver's other buffers are gone. */
	fake_driver_set(&vs_guest, 0x70, 0);
	close(fd);
	fake_driver_start(&vs_guest, VS_V1, VSOCK_QUEUES, VS_RING);
	vs_give(1);
	int pair[2];
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	vs_send(REQUEST, 1, 2);
	vsock_dialled(&vs, vs_dialled[1].call, pair[0]);
	fake_driver_work(&vs_guest);
	struct vring_used_elem used;
	ck_assert(fake_queue_used(ring, &used));

	fake_queue_add(ring, received[_i].buffer, received[_i].buffers, received[_i].readable);
	fake_driver_kick(&vs_guest, VSOCK_RECEIVE);
	ck_assert_int_eq(send(pair[1], bytes, 1000, 0), 1000);
	vs_work();
	ck_assert_msg(vs_needs_reset(), "%s", received[_i].what);
	serves_again();
	vs_ended(pair[1]);
}
END_TEST

/* --- packets --------------------------------------------------------------------------------- */

static const struct {
	const char *what;
	uint64_t src_cid, dst_cid;
	uint16_t type, op;
	bool answered; /* with a reset */
} strangers[] = {
	{"another guest's", 8, 2, 1, REQUEST, false},
	{"the host's own", 2, 2, 1, REQUEST, false},
	{"to another guest", VS_CID, 9, 1, REQUEST, true},
	{"to itself", VS_CID, VS_CID, 1, REQUEST, true},
	{"to anybody", VS_CID, UINT64_MAX, 1, RW, true},
	{"a packet socket", VS_CID, 2, 2, REQUEST, true},
	{"type 0", VS_CID, 2, 0, RW, true},
	{"type 65535", VS_CID, 2, 65535, 65535, true},
	{"no operation", VS_CID, 2, 1, 0, true},
	{"an unknown operation", VS_CID, 2, 1, 65535, true},
	{"data of no connection", VS_CID, 2, 1, RW, true},
	{"an answer of no connection", VS_CID, 2, 1, RESPONSE, true},
	{"the end of no connection", VS_CID, 2, 1, VIRTIO_VSOCK_OP_SHUTDOWN, true},
	{"credit of no connection", VS_CID, 2, 1, VIRTIO_VSOCK_OP_CREDIT_UPDATE, true},
	{"a reset of no connection", VS_CID, 2, 1, RST, false},
	{"a reset of another type", VS_CID, 2, 9, RST, false},
};

START_TEST(packets_of_no_connection)
{
	struct vsock_packet packet = vs_packet(strangers[_i].op, 1, 2), answer;

	packet.src_cid = strangers[_i].src_cid;
	packet.dst_cid = strangers[_i].dst_cid;
	packet.type = strangers[_i].type;
	vs_send_packet(&packet, NULL, 0);
	ck_assert_msg(vs_get(&answer, NULL) == strangers[_i].answered, "%s", strangers[_i].what);
	if (strangers[_i].answered) {
		ck_assert_uint_eq(answer.op, RST);
		ck_assert_uint_eq(answer.type, packet.type);
		ck_assert_uint_eq(answer.src_cid, packet.dst_cid);
		ck_assert_uint_eq(answer.src_port, 2);
		ck_assert_uint_eq(answer.dst_port, 1);
	}
	ck_assert_uint_eq(vs_dials, 0);
	ck_assert_uint_eq(vs_count(), 0);
	ck_assert(!vs_needs_reset());
	vs_got_nothing();
}
END_TEST

static const uint16_t wrong_in_open[] = {0, REQUEST, RESPONSE, 8, 65535};

START_TEST(wrong_for_an_open_connection)
{
	int fd = vs_served(1, 2), other = vs_served(3, 4);

	vs_send(wrong_in_open[_i], 1, 2);
	vs_got(RST, 1, 2, NULL);
	vs_ended(fd);
	vs_send_data(3, 4, "x", 1);
	ck_assert_uint_eq(vs_read(other, bytes, 10), 1);
	ck_assert_uint_eq(atomic_load(&vs.counters.broken), 1);
	close(other);
}
END_TEST

static const uint16_t wrong_early[] = {0, REQUEST, RESPONSE, RW, VIRTIO_VSOCK_OP_SHUTDOWN, 65535};

START_TEST(wrong_before_the_answer)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	vs_send(REQUEST, 1, 2);
	vs_send(wrong_early[_i], 1, 2);
	vs_got(RST, 1, 2, NULL);
	ck_assert_uint_eq(vs_count(), 0);
	/* The answer that comes then is for nobody, also when the ports are used again. */
	vs_send(REQUEST, 1, 2);
	vsock_dialled(&vs, vs_dialled[0].call, pair[0]);
	vs_ended(pair[1]);
	vs_got_nothing();
	ck_assert_uint_eq(vs_count(), 1);
}
END_TEST

/* The guest answers a request that it has not got yet. */
START_TEST(an_answer_too_early)
{
	int fd;
	uint32_t port = vs.next_port;

	fake_driver_set(&vs_guest, 0x70, 0);
	fake_driver_start(&vs_guest, VS_V1, VSOCK_QUEUES, VS_RING);
	fd = vs_connect();
	ck_assert_int_eq(send(fd, "CONNECT 9\n", 10, 0), 10);
	vs_work();
	ck_assert_int_eq(vs.connection[0].state, VSOCK_ASKED);
	vs_send(RESPONSE, 9, port);
	vs_ended(fd);
	ck_assert_uint_eq(vs_count(), 0);
	/* It was never told of it: no packet waits. */
	vs_give(1);
	vs_got_nothing();
}
END_TEST

START_TEST(more_than_its_credit)
{
	int fd = vs_served(1, 2);
	struct vsock_packet packet;

	/* The reader sleeps: fill the socket, then the room behind it. */
	for (;;) {
		vs_send_data(1, 2, bytes, 1000);
		if (vs.connection[0].len > VSOCK_ROOM - 2000)
			break;
		while (vs_get(&packet, NULL))
			ck_assert_uint_eq(packet.op, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
	}
	ck_assert_uint_eq(vs_count(), 1);
	vs_send_data(1, 2, bytes, 3000);
	do
		ck_assert(vs_get(&packet, NULL));
	while (packet.op == VIRTIO_VSOCK_OP_CREDIT_UPDATE);
	ck_assert_uint_eq(packet.op, RST);
	ck_assert_uint_eq(vs_count(), 0);
	ck_assert(!vs_needs_reset());
	close(fd);
}
END_TEST

/* More at once than there ever is room for. */
START_TEST(a_packet_beyond_all_credit)
{
	int fd = vs_served(1, 2);

	vs_send_data(1, 2, bytes, sizeof(bytes));
	vs_got(RST, 1, 2, NULL);
	vs_ended(fd);
}
END_TEST

START_TEST(data_after_the_last)
{
	int fd = vs_served(1, 2);

	vs_send_shutdown(1, 2, VIRTIO_VSOCK_SHUTDOWN_SEND);
	vs_send_data(1, 2, "x", 1);
	vs_got(RST, 1, 2, NULL);
	vs_ended(fd);
}
END_TEST

/* Bits of no meaning, again and again. */
START_TEST(shutdown_of_everything)
{
	int fd = vs_served(1, 2);

	for (unsigned int i = 0; i < 100; i++)
		vs_send_shutdown(1, 2, 0xfffffffc);
	vs_got_nothing();
	vs_send_shutdown(1, 2, UINT32_MAX);
	vs_got(RST, 1, 2, NULL);
	vs_ended(fd);
}
END_TEST

static const struct {
	uint32_t room, forwarded;
} lies[] = {{0, 0}, {UINT32_MAX, 1}, {0, UINT32_MAX}, {10, UINT32_MAX}, {1000, 0x80000000U}};

/* A guest that lies about its credit gets nothing, and harms itself only. */
START_TEST(credit_of_no_sense)
{
	struct vsock_packet packet = vs_packet(VIRTIO_VSOCK_OP_CREDIT_UPDATE, 1, 2);
	int fd = vs_served(1, 2), other = vs_served(3, 4);

	packet.room = lies[_i].room;
	packet.forwarded = lies[_i].forwarded;
	vs_send_packet(&packet, NULL, 0);
	ck_assert_int_eq(send(fd, bytes, 5000, 0), 5000);
	ck_assert_int_eq(send(other, bytes, 5, 0), 5);
	for (unsigned int total = 0; vs_get(&packet, NULL); total += packet.len)
		ck_assert_uint_lt(total, 5005);
	ck_assert(!vs_needs_reset());
	close(fd);
	close(other);
}
END_TEST

/* --- floods ---------------------------------------------------------------------------------- */

START_TEST(a_flood_of_requests)
{
	struct vsock_packet packet;
	unsigned int resets = 0;

	for (unsigned int i = 0; i < 2 * VSOCK_CONNECTIONS_MAX; i++) {
		vs_send(REQUEST, i, 80);
		while (vs_get(&packet, NULL)) {
			ck_assert_uint_eq(packet.op, RST);
			ck_assert_uint_eq(packet.dst_port, i);
			resets++;
		}
	}
	ck_assert_uint_eq(vs_dials, VSOCK_CONNECTIONS_MAX);
	ck_assert_uint_eq(vs_count(), VSOCK_CONNECTIONS_MAX);
	ck_assert_uint_eq(resets, VSOCK_CONNECTIONS_MAX);
	/* Nobody answers: after their time the places are free. */
	for (unsigned int i = 0; i < VSOCK_CONNECTIONS_MAX; i++)
		vs.connection[i].deadline = 1;
	vs.timer.ready(vs.timer.ctx);
	for (unsigned int i = 0; i < VSOCK_CONNECTIONS_MAX; i++)
		vs_got(RST, i, 80, NULL);
	ck_assert_uint_eq(vs_count(), 0);
	close(vs_served(1, 2));
}
END_TEST

/* A guest that takes no answers is heard no more, until it does. */
START_TEST(answers_that_are_not_taken)
{
	struct fake_queue *ring = &vs_guest.queue[VSOCK_TRANSMIT];
	struct vring_used_elem used;
	unsigned int heard = 0;

	fake_driver_set(&vs_guest, 0x70, 0);
	fake_driver_start(&vs_guest, VS_V1, VSOCK_QUEUES, VS_RING);
	struct vsock_packet packet = vs_packet(RW, 1, 2);
	struct virtio_vsock_hdr header;
	vsock_packet_write(&packet, &header);
	memcpy(fake_driver_at(&vs_guest, VS_TX, HEADER), &header, HEADER);
	const struct gpa_range buffer = {VS_TX, HEADER};
	for (unsigned int i = 0; i < 8 * VS_RING; i++) {
		/* It reads what it may add only if there was room for it. */
		if (i < VS_RING || fake_queue_used(ring, &used)) {
			heard += i >= VS_RING;
			fake_queue_add(ring, &buffer, 1, 1);
		}
		fake_driver_kick(&vs_guest, VSOCK_TRANSMIT);
	}
	ck_assert_uint_eq(vs.resets, VSOCK_RESETS_MAX / 2);
	ck_assert_uint_eq(heard, VSOCK_RESETS_MAX / 2);
	vs_give(VS_RING);
	unsigned int answers = 0;
	while (vs_get(&packet, NULL)) {
		ck_assert_uint_eq(packet.op, RST);
		answers++;
	}
	ck_assert_uint_eq(answers, heard + VS_RING);
	ck_assert_uint_eq(vs.resets, 0);
	ck_assert(!vs_needs_reset());
}
END_TEST

/* --- programs of the host -------------------------------------------------------------------- */

static const char *const no_line[] = {
	"GET / HTTP/1.1\r\n",
	"CONNECT\n",
	"CONNECT 4294967296\n",
	"CONNECT 1 2\n",
	"\n",
	"CONNECT 00000000000000000000000000000000000000000000000000000000000000000000000000001\n",
};

START_TEST(a_program_that_names_no_port)
{
	int fd = vs_connect();

	ck_assert_int_gt(send(fd, no_line[_i], strlen(no_line[_i]), 0), 0);
	vs_ended(fd);
	vs_got_nothing();
	ck_assert_uint_eq(vs_count(), 0);
}
END_TEST

START_TEST(a_line_byte_by_byte_without_end)
{
	int fd = vs_connect();
	unsigned int n = 0;

	for (const char *text = "CONNECT 00000000000000"; *text; text++, n++) {
		if (send(fd, text, 1, MSG_NOSIGNAL) < 0)
			break;
		vs_work();
	}
	ck_assert_uint_eq(n, VSOCK_LINE_MAX);
	vs_ended(fd);
	ck_assert_uint_eq(vs_count(), 0);
}
END_TEST

/* Connect and hang, before the line, half-way through it, and after it, when the guest does not answer. */
START_TEST(programs_that_hang)
{
	struct vsock_packet packet;
	uint32_t port;
	int open = vs_connected(5000, &port), silent = vs_connect(), half = vs_connect(),
	    asks = vs_connect();

	ck_assert_int_eq(send(half, "CONNE", 5, 0), 5);
	ck_assert_int_eq(send(asks, "CONNECT 9\n", 10, 0), 10);
	ck_assert(vs_get(&packet, NULL));
	ck_assert_uint_eq(packet.op, REQUEST);
	ck_assert_uint_eq(vs_count(), 4);
	ck_assert(vs.ticks);
	for (unsigned int i = 0; i < VSOCK_CONNECTIONS_MAX; i++) {
		struct vsock_connection *connection = &vs.connection[i];
		if (connection->state == VSOCK_FREE)
			continue;
		/* The open one has no limit. */
		ck_assert_int_eq(connection->deadline == 0, connection->state == VSOCK_OPEN);
		connection->deadline = connection->deadline ? 1 : 0;
	}
	vs.timer.ready(vs.timer.ctx);
	ck_assert(!vs.ticks);
	ck_assert_uint_eq(vs_count(), 1);
	vs_ended(silent);
	vs_ended(half);
	vs_ended(asks);
	/* The guest had been asked. */
	vs_got(RST, 9, packet.src_port, NULL);
	vs_got_nothing();
	close(open);
}
END_TEST

START_TEST(a_program_that_is_gone_before_its_line)
{
	close(vs_connect());
	int fd = vs_connect();
	ck_assert_int_eq(send(fd, "CONNECT 9\n", 10, 0), 10);
	close(fd);
	vs_work();
	struct vsock_packet packet;
	ck_assert(vs_get(&packet, NULL));
	vs_send(RESPONSE, 9, packet.src_port);
	vs_got(RST, 9, packet.src_port, NULL);
	ck_assert_uint_eq(vs_count(), 0);
}
END_TEST

/* Programs that name no port leave half of the places to others. */
START_TEST(a_flood_of_programs)
{
	int fd[VSOCK_CONNECTIONS_MAX / 2 + 1];
	char byte;

	for (unsigned int i = 0; i <= VSOCK_CONNECTIONS_MAX / 2; i++) {
		fd[i] = vs_connect();
		vs_work();
	}
	ck_assert_uint_eq(vs_count(), VSOCK_CONNECTIONS_MAX / 2);
	ck_assert_int_eq(recv(fd[VSOCK_CONNECTIONS_MAX / 2], &byte, 1, 0), 0);
	int served = vs_served(1, 2);
	/* Each that goes makes room. */
	close(fd[0]);
	vs_work();
	uint32_t port;
	close(vs_connected(5000, &port));
	close(served);
	for (unsigned int i = 1; i <= VSOCK_CONNECTIONS_MAX / 2; i++)
		close(fd[i]);
	vs_work();
}
END_TEST

Suite *vsock_hostile_suite(void);
Suite *vsock_hostile_suite(void)
{
	Suite *suite = suite_create("vsock, hostile");
	TCase *all = tcase_create("all");
	tcase_add_checked_fixture(all, vs_setup, vs_teardown);
	tcase_add_loop_test(all, no_packet_to_send, 0, COUNT(sent));
	tcase_add_loop_test(all, no_room_for_data, 0, COUNT(received));
	tcase_add_loop_test(all, packets_of_no_connection, 0, COUNT(strangers));
	tcase_add_loop_test(all, wrong_for_an_open_connection, 0, COUNT(wrong_in_open));
	tcase_add_loop_test(all, wrong_before_the_answer, 0, COUNT(wrong_early));
	tcase_add_test(all, an_answer_too_early);
	tcase_add_test(all, more_than_its_credit);
	tcase_add_test(all, a_packet_beyond_all_credit);
	tcase_add_test(all, data_after_the_last);
	tcase_add_test(all, shutdown_of_everything);
	tcase_add_loop_test(all, credit_of_no_sense, 0, COUNT(lies));
	tcase_add_test(all, a_flood_of_requests);
	tcase_add_test(all, answers_that_are_not_taken);
	tcase_add_loop_test(all, a_program_that_names_no_port, 0, COUNT(no_line));
	tcase_add_test(all, a_line_byte_by_byte_without_end);
	tcase_add_test(all, programs_that_hang);
	tcase_add_test(all, a_program_that_is_gone_before_its_line);
	tcase_add_test(all, a_flood_of_programs);
	suite_add_tcase(suite, all);
	return suite;
}
