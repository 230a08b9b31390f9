// SPDX-License-Identifier: Apache-2.0
/* Drivers and peers that keep to no rule: the device stops until it is reset, or a frame is lost; nothing else. */
#include <check.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "devices/virtio-net/header.h"
#include "tests/unit/fake_net.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static uint8_t frame[STREAM_FRAME_MAX];

/* The next driver is served. */
static void serves_again(void)
{
	net_start(NET_ALL);
	ck_assert(!net_needs_reset());
	ck_assert(net_sends(60, 3));
	while (net_peer_gets(frame) != 60)
		;
}

/* --- chains ---------------------------------------------------------------------------------- */

static const struct {
	const char *what;
	unsigned int buffers, readable;
	struct gpa_range buffer[3];
} sent[] = {
	{"nothing", 1, 1, {{NET_TX, 0}}},
	{"half a header", 1, 1, {{NET_TX, 11}}},
	{"a writable buffer", 2, 1, {{NET_TX, 100}, {NET_TX, 100}}},
	{"only a writable buffer", 1, 0, {{NET_TX, 100}}},
	{"a header that is not RAM", 1, 1, {{LOW_END, 100}}},
	{"a header half in RAM", 1, 1, {{LOW_END - 6, 100}}},
	{"a frame that is not RAM", 2, 2, {{NET_TX, 12}, {LOW_END, 60}}},
	{"a frame half in RAM", 2, 2, {{NET_TX, 12}, {LOW_END - 30, 60}}},
	{"a frame that wraps", 2, 2, {{NET_TX, 12}, {UINT64_MAX - 10, 60}}},
	{"header and frame that wrap", 1, 1, {{UINT64_MAX - 11, 100}}},
};

START_TEST(no_frame_to_send)
{
	struct vring_used_elem element;

	net_start(NET_ALL);
	fake_queue_add(&net_guest.queue[NET_TRANSMIT], sent[_i].buffer, sent[_i].buffers,
		       sent[_i].readable);
	fake_driver_kick(&net_guest, NET_TRANSMIT);
	ck_assert_msg(net_needs_reset(), "%s", sent[_i].what);
	ck_assert(!fake_queue_used(&net_guest.queue[NET_TRANSMIT], &element));
	ck_assert_uint_eq(net_peer_gets(frame), 0);
	serves_again();
}
END_TEST

static const struct {
	const char *what;
	unsigned int buffers, readable;
	struct gpa_range buffer[3];
} received[] = {
	{"a readable buffer", 1, 1, {{NET_RX, 2048}}},
	{"a readable buffer first", 2, 1, {{NET_RX, 2048}, {NET_RX, 2048}}},
	{"not RAM", 1, 0, {{LOW_END, 2048}}},
	{"half in RAM", 1, 0, {{LOW_END - 1024, 2048}}},
	{"wraps", 1, 0, {{UINT64_MAX - 11, 2048}}},
	{"the second wraps", 2, 0, {{NET_RX, 20}, {UINT64_MAX - 11, 2048}}},
	{"the second is not RAM", 2, 0, {{NET_RX, 12}, {HIGH_END, 2048}}},
	{"a header that is not RAM", 2, 0, {{LOW_END, 12}, {NET_RX, 2048}}},
};

START_TEST(no_room_for_a_frame)
{
	net_start(NET_ALL);
	fake_queue_add(&net_guest.queue[NET_RECEIVE], received[_i].buffer, received[_i].buffers,
		       received[_i].readable);
	fake_driver_kick(&net_guest, NET_RECEIVE);
	ck_assert(!net_needs_reset());
	net_peer_sends(1000, 1);
	ck_assert_msg(net_needs_reset(), "%s", received[_i].what);
	serves_again();
}
END_TEST

/* Buffers of no bytes, as many as the ring has: no frame is merged of them. */
START_TEST(empty_buffers)
{
	const struct gpa_range none = {NET_RX, 0};

	net_start(NET_ALL);
	for (unsigned int i = 0; i < NET_RING; i++)
		fake_queue_add(&net_guest.queue[NET_RECEIVE], &none, 1, 0);
	fake_driver_kick(&net_guest, NET_RECEIVE);
	net_peer_sends(1000, 1);
	ck_assert(net_needs_reset());
	serves_again();
}
END_TEST

/* A ring full of the smallest: a frame that can never fit is dropped, so that the next can come. */
START_TEST(tiny_buffers)
{
	const struct gpa_range tiny = {NET_RX, 12};

	net_start(NET_ALL);
	for (unsigned int i = 0; i < NET_RING; i++)
		fake_queue_add(&net_guest.queue[NET_RECEIVE], &tiny, 1, 0);
	fake_driver_kick(&net_guest, NET_RECEIVE);
	net_peer_sends(1000, 1);
	ck_assert(!net_needs_reset());
	ck_assert_uint_eq(atomic_load(&net.counters[NET_RECEIVE].dropped), 1);
	net_peer_sends(24, 2);
	ck_assert_uint_eq(atomic_load(&net.counters[NET_RECEIVE].frames), 1);
}
END_TEST

/* --- headers and lengths --------------------------------------------------------------------- */

#define TSO4 VIRTIO_NET_HDR_GSO_TCPV4
#define TSO6 VIRTIO_NET_HDR_GSO_TCPV6
#define ECN  VIRTIO_NET_HDR_GSO_ECN
#define CSUM VIRTIO_NET_HDR_F_NEEDS_CSUM

static const struct {
	bool fits; /* in a frame of 100 bytes, where all is allowed */
	struct virtio_net_hdr_v1 header;
} headers[] = {
	{true, {.flags = 0}},
	{true, {.flags = CSUM, .csum_start = 34, .csum_offset = 16}},
	{true, {.flags = CSUM, .csum_start = 82, .csum_offset = 16}},
	{false, {.flags = CSUM, .csum_start = 83, .csum_offset = 16}},
	{false, {.flags = CSUM, .csum_start = 0xffff, .csum_offset = 0xffff}},
	{true, {.flags = CSUM, .gso_type = TSO4, .gso_size = 1448, .hdr_len = 66}},
	{true, {.flags = CSUM, .gso_type = TSO6 | ECN, .gso_size = 1448, .hdr_len = 86}},
	{false, {.flags = CSUM, .gso_type = TSO4, .gso_size = 0}},
	{false, {.flags = 0, .gso_type = TSO4, .gso_size = 1448}},
	{false, {.flags = CSUM, .gso_type = TSO4, .gso_size = 1448, .hdr_len = 101}},
	{false, {.flags = CSUM, .gso_type = ECN, .gso_size = 1448}},
	{false, {.flags = CSUM, .gso_type = VIRTIO_NET_HDR_GSO_UDP, .gso_size = 1448}},
	{false, {.flags = CSUM, .gso_type = 0x7f, .gso_size = 1448}},
	{false, {.flags = VIRTIO_NET_HDR_F_DATA_VALID}},
	{false, {.flags = VIRTIO_NET_HDR_F_RSC_INFO}},
	{false, {.flags = 0xff}},
};

START_TEST(header_rules)
{
	const struct net_offloads all = {true, true, true, true}, none = {0};
	const struct virtio_net_hdr_v1 *header = &headers[_i].header;
	bool empty = header->flags == 0 && header->gso_type == 0;

	ck_assert_int_eq(net_header_fits(header, 100, &all, false), headers[_i].fits);
	ck_assert_int_eq(net_header_fits(header, 100, &none, false), empty);
	if (header->flags == VIRTIO_NET_HDR_F_DATA_VALID)
		ck_assert(net_header_fits(header, 100, &all, true));
}
END_TEST

/* Each offload has a feature of its own. */
START_TEST(header_features)
{
	static const struct {
		uint64_t host, guest;
		struct net_offloads is;
	} each[] = {
		{1ULL << VIRTIO_NET_F_CSUM, 1ULL << VIRTIO_NET_F_GUEST_CSUM, {.checksum = true}},
		{1ULL << VIRTIO_NET_F_HOST_TSO4, 1ULL << VIRTIO_NET_F_GUEST_TSO4, {.tso4 = true}},
		{1ULL << VIRTIO_NET_F_HOST_TSO6, 1ULL << VIRTIO_NET_F_GUEST_TSO6, {.tso6 = true}},
		{1ULL << VIRTIO_NET_F_HOST_ECN, 1ULL << VIRTIO_NET_F_GUEST_ECN, {.ecn = true}},
	};
	for (int i = 0; i < COUNT(each); i++) {
		struct net_offloads host = net_offloads_of_host(each[i].host);
		struct net_offloads guest = net_offloads_of_guest(each[i].guest);
		ck_assert_mem_eq(&host, &each[i].is, sizeof(host));
		ck_assert_mem_eq(&guest, &each[i].is, sizeof(guest));
	}
}
END_TEST

/* The stream has no offloads: a frame that asks for one is lost, and only that. */
START_TEST(offload_that_is_not_offered)
{
	net_start(NET_ALL);
	for (int i = 0; i < COUNT(headers); i++)
		ck_assert(net_sends_with(&headers[i].header, 100, 1, 2));
	ck_assert_uint_eq(net_peer_gets(frame), 100);
	ck_assert_uint_eq(net_peer_gets(frame), 0);
	ck_assert_uint_eq(atomic_load(&net.counters[NET_TRANSMIT].refused), COUNT(headers) - 1);
	ck_assert(!net_needs_reset());
}
END_TEST

START_TEST(lengths_to_send)
{
	net_start(NET_ALL);
	ck_assert(net_sends(0, 1));
	ck_assert(net_sends(13, 1));
	ck_assert(net_sends(NET_FRAME_MAX + 1, 1));
	ck_assert(net_sends(STREAM_FRAME_MAX + 1, 1));
	ck_assert_uint_eq(net_peer_gets(frame), 0);
	ck_assert_uint_eq(atomic_load(&net.counters[NET_TRANSMIT].refused), 3);
	ck_assert_uint_eq(atomic_load(&net.counters[NET_TRANSMIT].dropped), 1);
	ck_assert(net_sends(14, 1));
	ck_assert_uint_eq(net_peer_gets(frame), 14);
	ck_assert(net_sends(STREAM_FRAME_MAX, 1));
	ck_assert_uint_eq(net_peer_gets(frame), STREAM_FRAME_MAX);
	ck_assert(!net_needs_reset());
}
END_TEST

/* --- the peer -------------------------------------------------------------------------------- */

START_TEST(peer_that_lies)
{
	static const uint32_t lengths[] = {0, 1, 13, STREAM_FRAME_MAX + 1, 0x7fffffff, 0xffffffff};
	uint32_t length = htobe32(lengths[_i]);

	net_start(NET_ALL);
	net_give(4);
	net_peer_sends(60, 1);
	net_peer_writes(&length, sizeof(length));
	/* What was right before it has come; then the stream is given up. */
	net_got(60, 1, 1);
	ck_assert_uint_eq(net_lost_times, 1);
	ck_assert(!net_is_up(&net));
	ck_assert(!net_needs_reset());
}
END_TEST

/* Byte for byte, as slowly as can be. */
START_TEST(peer_that_dribbles)
{
	const uint32_t length = htobe32(20);
	uint8_t bytes[24];

	memcpy(bytes, &length, 4);
	for (unsigned int i = 0; i < 20; i++)
		bytes[4 + i] = (uint8_t)(9 + i);
	net_start(NET_ALL);
	net_give(3);
	for (unsigned int turn = 0; turn < 3; turn++) {
		for (unsigned int i = 0; i < sizeof(bytes); i++)
			net_peer_writes(&bytes[i], 1);
		net_got(20, 9, 1);
	}
}
END_TEST

/* What a random peer sends ends nothing but the stream. */
START_TEST(peer_that_sends_noise)
{
	static uint8_t noise[4096];

	srandom((unsigned int)_i);
	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (uint8_t)random();
	/* Half of them begin with lengths that are possible. */
	if (_i % 2)
		memset(noise, 0, 2);
	net_start(NET_ALL);
	net_give(NET_RING);
	for (size_t i = 0; i < sizeof(noise) && net_lost_times == 0; i += 64)
		net_peer_writes(noise + i, 64);
	ck_assert(!net_needs_reset());
	ck_assert_uint_le(net_lost_times, 1);
}
END_TEST

/* Any driver, any peer: chains and headers of random numbers. The sanitizers are the judge. */
START_TEST(driver_at_random)
{
	srandom((unsigned int)_i);
	net_start(_i % 2 ? NET_ALL : NET_V1);
	for (unsigned int turn = 0; turn < 400; turn++) {
		unsigned int queue = random() % NET_QUEUES, n = 1 + random() % 4;
		struct gpa_range buffer[4];
		for (unsigned int i = 0; i < n; i++) {
			uint64_t base = random() % 8 ? NET_TX + random() % MIB
						     : (uint64_t)random() << (random() % 34);
			buffer[i] = (struct gpa_range){base, random() % 3000};
		}
		unsigned int readable = queue == NET_TRANSMIT ? n : 0;
		fake_queue_add(&net_guest.queue[queue], buffer, n,
			       random() % 16 ? readable : random() % (n + 1));
		fake_driver_kick(&net_guest, queue);
		if (net_lost_times == 0 && random() % 2)
			net_peer_sends(14 + random() % 3000, (uint8_t)turn);
		while (net_lost_times == 0 && net_peer_gets(frame))
			;
		if (net_needs_reset())
			net_start(_i % 2 ? NET_ALL : NET_V1);
	}
}
END_TEST

Suite *net_hostile_suite(void);
Suite *net_hostile_suite(void)
{
	Suite *suite = suite_create("net, hostile");
	TCase *tcase = tcase_create("hostile");
	tcase_add_checked_fixture(tcase, net_setup, net_teardown);
	tcase_add_loop_test(tcase, no_frame_to_send, 0, COUNT(sent));
	tcase_add_loop_test(tcase, no_room_for_a_frame, 0, COUNT(received));
	tcase_add_test(tcase, empty_buffers);
	tcase_add_test(tcase, tiny_buffers);
	tcase_add_loop_test(tcase, header_rules, 0, COUNT(headers));
	tcase_add_test(tcase, header_features);
	tcase_add_test(tcase, offload_that_is_not_offered);
	tcase_add_test(tcase, lengths_to_send);
	tcase_add_loop_test(tcase, peer_that_lies, 0, 6);
	tcase_add_test(tcase, peer_that_dribbles);
	tcase_add_loop_test(tcase, peer_that_sends_noise, 0, 16);
	tcase_add_loop_test(tcase, driver_at_random, 0, 8);
	suite_add_tcase(suite, tcase);
	return suite;
}
