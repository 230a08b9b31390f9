// SPDX-License-Identifier: Apache-2.0
/* The pure parts of the socket device: credit, headers, and the line of a program of the host. */
#include <check.h>
#include <errno.h>
#include <string.h>

#include "devices/virtio-vsock/flow.h"
#include "devices/virtio-vsock/packet.h"

START_TEST(the_guest_gets_what_it_has_room_for)
{
	struct vsock_flow flow = {0};

	ck_assert_uint_eq(vsock_flow_credit(&flow), 0);
	vsock_flow_hear(&flow, 1000, 0);
	ck_assert_uint_eq(vsock_flow_credit(&flow), 1000);
	vsock_flow_give(&flow, 600);
	ck_assert_uint_eq(vsock_flow_credit(&flow), 400);
	vsock_flow_hear(&flow, 1000, 500);
	ck_assert_uint_eq(vsock_flow_credit(&flow), 900);
	/* It may have less room than before, even less than is on its way. */
	vsock_flow_hear(&flow, 50, 500);
	ck_assert_uint_eq(vsock_flow_credit(&flow), 0);
	/* Nobody can have passed on what was not given. */
	vsock_flow_hear(&flow, 1000, 601);
	ck_assert_uint_eq(vsock_flow_credit(&flow), 0);
}
END_TEST

START_TEST(counters_wrap)
{
	struct vsock_flow flow = {.given = UINT32_MAX - 10, .peer_forwarded = UINT32_MAX - 20};

	flow.peer_room = 100;
	ck_assert_uint_eq(vsock_flow_credit(&flow), 90);
	vsock_flow_give(&flow, 90);
	ck_assert_uint_eq(vsock_flow_credit(&flow), 0);
	vsock_flow_hear(&flow, 100, 50);
	ck_assert_uint_eq(flow.given, 79);
	ck_assert_uint_eq(vsock_flow_credit(&flow), 71);

	flow.taken = flow.forwarded = flow.told = UINT32_MAX - 5;
	ck_assert(vsock_flow_take(&flow, VSOCK_ROOM));
	ck_assert(!vsock_flow_take(&flow, 1));
	vsock_flow_forward(&flow, VSOCK_ROOM / 4);
	ck_assert(vsock_flow_is_news(&flow));
	ck_assert(vsock_flow_take(&flow, VSOCK_ROOM / 4));
}
END_TEST

START_TEST(the_guest_may_send_as_much_as_there_is_room_for)
{
	struct vsock_flow flow = {0};

	ck_assert(vsock_flow_take(&flow, 0));
	ck_assert(!vsock_flow_take(&flow, VSOCK_ROOM + 1));
	ck_assert(!vsock_flow_take(&flow, UINT32_MAX));
	ck_assert(vsock_flow_take(&flow, VSOCK_ROOM - 1));
	ck_assert(!vsock_flow_take(&flow, 2));
	ck_assert(vsock_flow_take(&flow, 1));
	vsock_flow_forward(&flow, 10);
	ck_assert(vsock_flow_take(&flow, 10));
	ck_assert(!vsock_flow_take(&flow, 1));
	/* It is told before it waits for ever: as it has sent all it may, and all was passed on. */
	ck_assert(!vsock_flow_is_news(&flow));
	vsock_flow_forward(&flow, VSOCK_ROOM);
	ck_assert(vsock_flow_is_news(&flow));
	ck_assert_uint_eq(vsock_flow_tell(&flow), VSOCK_ROOM + 10);
	ck_assert(!vsock_flow_is_news(&flow));
}
END_TEST

START_TEST(a_header_is_read_as_it_was_written)
{
	const struct vsock_packet packet = {1ULL << 40 | 3, 2, 4, 5, 6, 7, 8, 9, 10, 11};
	static const uint8_t want[VSOCK_HEADER] = {3, 0, 0, 0, 0, 1, 0,	 0, 2, 0, 0,  0, 0, 0, 0,
						   0, 4, 0, 0, 0, 5, 0,	 0, 0, 6, 0,  0, 0, 7, 0,
						   8, 0, 9, 0, 0, 0, 10, 0, 0, 0, 11, 0, 0, 0};
	struct virtio_vsock_hdr header;
	struct vsock_packet again;

	vsock_packet_write(&packet, &header);
	ck_assert_mem_eq(&header, want, sizeof(want));
	vsock_packet_parse(&again, &header);
	memset(&header, 0xee, sizeof(header));
	vsock_packet_write(&again, &header);
	ck_assert_mem_eq(&header, want, sizeof(want));
}
END_TEST

static const struct {
	const char *text;
	ssize_t len;
	uint32_t port;
} lines[] = {
	{"CONNECT 5000\n", 13, 5000},
	{"CONNECT 0\n", 10, 0},
	{"CONNECT 4294967295\n", 19, UINT32_MAX},
	{"CONNECT 7\nCONNECT 8\n", 10, 7},
	{"CONNECT 0000000007\n", 19, 7},
	{"", 0, 0},
	{"C", 0, 0},
	{"CONNECT ", 0, 0},
	{"CONNECT 4294967295", 0, 0},
	{"\n", -EPROTO, 0},
	{"CONNECT\n", -EPROTO, 0},
	{"CONNECT \n", -EPROTO, 0},
	{"CONNECT 4294967296\n", -EPROTO, 0},
	{"CONNECT 9999999999\n", -EPROTO, 0},
	{"CONNECT 00000000007\n", -EPROTO, 0},
	{"CONNECT 12345678901234567890", -EPROTO, 0},
	{"CONNECT -1\n", -EPROTO, 0},
	{"CONNECT 1 \n", -EPROTO, 0},
	{"CONNECT 1\r\n", -EPROTO, 0},
	{"connect 1\n", -EPROTO, 0},
	{"GET / HTTP/1.1\r\n", -EPROTO, 0},
};

START_TEST(a_program_names_a_port)
{
	uint32_t port = 0;
	ssize_t len = vsock_line_parse(lines[_i].text, strlen(lines[_i].text), &port);
	ck_assert_msg(len == lines[_i].len, "%s: %zd", lines[_i].text, len);
	ck_assert_uint_eq(port, lines[_i].port);
}
END_TEST

Suite *vsock_flow_suite(void);
Suite *vsock_flow_suite(void)
{
	Suite *suite = suite_create("vsock, flow");
	TCase *all = tcase_create("all");
	tcase_add_test(all, the_guest_gets_what_it_has_room_for);
	tcase_add_test(all, counters_wrap);
	tcase_add_test(all, the_guest_may_send_as_much_as_there_is_room_for);
	tcase_add_test(all, a_header_is_read_as_it_was_written);
	tcase_add_loop_test(all, a_program_names_a_port, 0, sizeof(lines) / sizeof(lines[0]));
	suite_add_tcase(suite, all);
	return suite;
}
