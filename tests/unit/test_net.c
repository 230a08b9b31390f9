// SPDX-License-Identifier: Apache-2.0
/* The network device with a driver and a peer that keep to the rules. */
#include <check.h>
#include <endian.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/fake_net.h"

#define COUNTED(queue, counter, expected)                                                          \
	ck_assert_uint_eq(atomic_load(&net.counters[queue].counter), expected)

static uint8_t frame[STREAM_FRAME_MAX];

static uint16_t link_status(void)
{
	uint16_t status;
	virtio_mmio_read(&net_guest.mmio,
			 VIRTIO_MMIO_CONFIG + offsetof(struct virtio_net_config, status), &status,
			 2);
	return le16toh(status);
}

START_TEST(has_its_address_and_mtu)
{
	const uint8_t mac[6] = {2, 0, 0, 1, 2, 3};
	uint8_t bytes[6];
	uint16_t mtu;

	net_start(NET_ALL);
	for (unsigned int i = 0; i < 6; i++)
		virtio_mmio_read(&net_guest.mmio, VIRTIO_MMIO_CONFIG + i, &bytes[i], 1);
	ck_assert_mem_eq(bytes, mac, 6);
	virtio_mmio_read(&net_guest.mmio, VIRTIO_MMIO_CONFIG + 10, &mtu, 2);
	ck_assert_uint_eq(le16toh(mtu), 1500);
	ck_assert_uint_eq(link_status(), VIRTIO_NET_S_LINK_UP);
}
END_TEST

START_TEST(sends)
{
	net_start(NET_ALL);
	ck_assert(net_sends(60, 7));
	ck_assert_uint_eq(net_peer_gets(frame), 60);
	ck_assert(net_frame_is(frame, 60, 7));
	COUNTED(NET_TRANSMIT, frames, 1);
	COUNTED(NET_TRANSMIT, bytes, 60);
}
END_TEST

/* Only a stream's long frames: whoever wants an answer need not wait for a CPU. */
START_TEST(is_patient_in_bulk)
{
	net_start(NET_ALL);
	net_give(4);
	ck_assert(net_sends(1514, 1));
	ck_assert_int_eq(sched_getscheduler(0), SCHED_OTHER);
	ck_assert(net_sends(STREAM_FRAME_MAX, 2));
	ck_assert_int_eq(sched_getscheduler(0), SCHED_BATCH);
	/* A turn that sends nothing changes nothing. */
	net_peer_sends(60, 3);
	ck_assert_int_eq(sched_getscheduler(0), SCHED_BATCH);
	ck_assert(net_sends(60, 4));
	ck_assert_int_eq(sched_getscheduler(0), SCHED_OTHER);
}
END_TEST

/* How the driver cuts header and frame has no meaning. */
START_TEST(sends_in_pieces)
{
	const struct virtio_net_hdr_v1 header = {0};
	net_start(NET_ALL);
	for (unsigned int pieces = 1; pieces <= 15; pieces++) {
		ck_assert(net_sends_with(&header, 200, (uint8_t)pieces, pieces));
		ck_assert_uint_eq(net_peer_gets(frame), 200);
		ck_assert(net_frame_is(frame, 200, (uint8_t)pieces));
	}
}
END_TEST

START_TEST(receives)
{
	net_start(NET_ALL);
	net_give(4);
	net_peer_sends(60, 1);
	net_peer_sends(1514, 2);
	net_got(60, 1, 1);
	net_got(1514, 2, 1);
	COUNTED(NET_RECEIVE, frames, 2);
	COUNTED(NET_RECEIVE, bytes, 60 + 1514);
	ck_assert_int_eq(atomic_load(&net_guest.interrupted_by), NET_RECEIVE);
}
END_TEST

START_TEST(receives_into_several_buffers)
{
	net_start(NET_ALL);
	net_give(40);
	net_peer_sends(NET_BUFFER - NET_HEADER, 1);
	net_got(NET_BUFFER - NET_HEADER, 1, 1);
	net_peer_sends(NET_BUFFER - NET_HEADER + 1, 2);
	net_got(NET_BUFFER - NET_HEADER + 1, 2, 2);
	net_peer_sends(STREAM_FRAME_MAX, 3);
	net_got(STREAM_FRAME_MAX, 3, 33);
}
END_TEST

/* Without the feature a frame that is too long is dropped, and the next comes. */
START_TEST(without_merging)
{
	net_start(NET_V1);
	net_give(2);
	net_peer_sends(NET_BUFFER, 1);
	/* Its start was written before its end was seen. */
	memset(fake_driver_at(&net_guest, NET_RX, NET_BUFFER), 0xee, NET_BUFFER);
	net_peer_sends(100, 2);
	net_got(100, 2, 1);
	COUNTED(NET_RECEIVE, dropped, 1);
}
END_TEST

/* A frame waits for room, and all of it comes at once. */
START_TEST(waits_for_buffers)
{
	struct vring_used_elem element;
	net_start(NET_ALL);
	net_peer_sends(60, 1);
	net_peer_sends(5000, 2);
	net_give(1);
	net_got(60, 1, 1);
	net_give(2);
	ck_assert(!fake_queue_used(&net_guest.queue[NET_RECEIVE], &element));
	net_give(1);
	net_got(5000, 2, 3);
	COUNTED(NET_RECEIVE, dropped, 0);
}
END_TEST

/* More than a turn at once. */
START_TEST(many)
{
	net_start(NET_ALL);
	for (unsigned int i = 0; i < 80; i++)
		net_peer_sends(1400, (uint8_t)i);
	for (unsigned int i = 0; i < 80; i++) {
		net_give(1);
		net_got(1400, (uint8_t)i, 1);
	}
}
END_TEST

/* The peer reads nothing for a while: frames wait, whole and in order, and the driver is told late. */
START_TEST(peer_that_is_slow)
{
	struct vring_used_elem element;
	unsigned int sent = 0, came = 0, used = 0;
	bool waits = false;

	net_start(NET_ALL);
	while (!waits && sent < NET_RING) {
		waits = !net_sends(30000, (uint8_t)sent);
		used += !waits;
		sent++;
		ck_assert_msg(sent < NET_RING, "the stream never fills");
	}
	while (net_peer_gets(frame)) {
		/* All of them lie in one place: the last was there when the first left. */
		ck_assert(net_frame_is(frame, 1, frame[0]));
		came++;
	}
	while (fake_queue_used(&net_guest.queue[NET_TRANSMIT], &element))
		used++;
	ck_assert_uint_eq(came, sent);
	ck_assert_uint_eq(used, sent);
	COUNTED(NET_TRANSMIT, frames, sent);
}
END_TEST

/* A reset in the middle of a frame does not put the next one into it. */
START_TEST(reset_while_half_sent)
{
	unsigned int sent = 0;

	net_start(NET_ALL);
	while (net_sends(30000, 5) && sent < NET_RING)
		sent++;
	net_start(NET_ALL);
	for (unsigned int i = 0; i < sent; i++) {
		ck_assert_uint_eq(net_peer_gets(frame), 30000);
		ck_assert(net_frame_is(frame, 30000, 5));
	}
	ck_assert_uint_eq(net_peer_gets(frame), 0);
	ck_assert(net_sends(60, 9));
	ck_assert_uint_eq(net_peer_gets(frame), 60);
}
END_TEST

START_TEST(link_down_and_up)
{
	net_start(NET_ALL);
	net_give(2);
	unsigned int interrupts = atomic_load(&net_guest.interrupts);
	net_set_link(&net, false);
	net_set_link(&net, false);
	ck_assert_uint_eq(atomic_load(&net_guest.interrupts), interrupts + 1);
	ck_assert_int_eq(atomic_load(&net_guest.interrupted_by), VIRTIO_INTERRUPT_CONFIG);
	ck_assert_uint_eq(link_status(), 0);
	ck_assert(net_sends(60, 1));
	ck_assert_uint_eq(net_peer_gets(frame), 0);
	net_peer_sends(60, 2);
	COUNTED(NET_TRANSMIT, dropped, 1);
	COUNTED(NET_RECEIVE, dropped, 1);

	net_set_link(&net, true);
	ck_assert_uint_eq(link_status(), VIRTIO_NET_S_LINK_UP);
	net_peer_sends(60, 3);
	net_got(60, 3, 1);
	ck_assert(net_sends(60, 4));
	ck_assert_uint_eq(net_peer_gets(frame), 60);
}
END_TEST

/* The peer ends: the guest sees its link go, and come back with the next peer. */
START_TEST(peer_comes_again)
{
	int pair[2];

	net_start(NET_ALL);
	net_give(2);
	close(net_peer);
	net_ready(&net, 0);
	ck_assert_uint_eq(net_lost_times, 1);
	ck_assert_uint_eq(link_status(), 0);
	ck_assert(net_sends(60, 1));
	COUNTED(NET_TRANSMIT, dropped, 1);
	ck_assert(!net_needs_reset());

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	net_peer = pair[1];
	stream_attach(&net_stream, pair[0]);
	net_set_carrier(&net, true);
	ck_assert_uint_eq(link_status(), VIRTIO_NET_S_LINK_UP);
	net_peer_sends(60, 2);
	net_got(60, 2, 1);
	ck_assert(net_sends(60, 3));
	ck_assert_uint_eq(net_peer_gets(frame), 60);
	ck_assert_uint_eq(net_lost_times, 1);
}
END_TEST

Suite *net_suite(void);
Suite *net_suite(void)
{
	Suite *suite = suite_create("net");
	TCase *tcase = tcase_create("net");
	tcase_add_checked_fixture(tcase, net_setup, net_teardown);
	tcase_add_test(tcase, has_its_address_and_mtu);
	tcase_add_test(tcase, sends);
	tcase_add_test(tcase, is_patient_in_bulk);
	tcase_add_test(tcase, sends_in_pieces);
	tcase_add_test(tcase, receives);
	tcase_add_test(tcase, receives_into_several_buffers);
	tcase_add_test(tcase, without_merging);
	tcase_add_test(tcase, waits_for_buffers);
	tcase_add_test(tcase, many);
	tcase_add_test(tcase, peer_that_is_slow);
	tcase_add_test(tcase, reset_while_half_sent);
	tcase_add_test(tcase, link_down_and_up);
	tcase_add_test(tcase, peer_comes_again);
	suite_add_tcase(suite, tcase);
	return suite;
}
