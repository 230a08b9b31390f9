// SPDX-License-Identifier: Apache-2.0
/* A socket device that is saved goes on; one that is restored begins without connections, and tells the guest so first. */
#include <check.h>
#include <endian.h>
#include <errno.h>
#include <linux/virtio_mmio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/fake_vsock.h"
#include "vmm/lib/clock.h"

#define EVENTS	  (BLOCKS_GPA + 32 * MIB)
#define EVENT_LEN 4
#define OTHER_CID 9

static uint8_t saved[4096];
static size_t saved_len;

static void setup(void)
{
	vs_setup();
	memset(fake_driver_at(&vs_guest, EVENTS, EVENT_LEN), 0xff, EVENT_LEN);
}

static void give_event_buffer(void)
{
	const struct gpa_range buffer = {EVENTS, EVENT_LEN};

	fake_queue_add(&vs_guest.queue[VSOCK_EVENT], &buffer, 1, 0);
	fake_driver_kick(&vs_guest, VSOCK_EVENT);
}

/* Returns whether the guest has heard that its connections are no more. */
static bool got_event(void)
{
	struct vring_used_elem used;

	vs_work();
	if (!fake_queue_used(&vs_guest.queue[VSOCK_EVENT], &used))
		return false;
	const uint32_t *event = fake_driver_at(&vs_guest, EVENTS, EVENT_LEN);
	ck_assert_uint_eq(used.len, EVENT_LEN);
	ck_assert_uint_eq(le32toh(*event), VIRTIO_VSOCK_EVENT_TRANSPORT_RESET);
	return true;
}

static void save(void)
{
	saved_len = fake_driver_save(&vs_guest, saved, sizeof(saved));
}

static int restore(size_t len, struct why *why)
{
	struct record_in in = {saved, len, false};

	virtio_mmio_release(&vs_guest.mmio);
	vsock_release(&vs);
	vs_plug(OTHER_CID);
	vs_guest.deferred = 0;
	return virtio_mmio_restore(&vs_guest.mmio, &in, why);
}

static void move(void)
{
	struct why why = {""};

	save();
	ck_assert_msg(restore(saved_len, &why) == 0, "%s", why.text);
}

/* A program of the host that asks for a connection. */
static int ask(void)
{
	static const char line[] = "CONNECT 5000\n";
	int fd = vs_connect();

	ck_assert_int_eq(send(fd, line, sizeof(line) - 1, MSG_NOSIGNAL), sizeof(line) - 1);
	return fd;
}

/* The next packet is for the new CID, and asks for a connection. Returns the host's port. */
static uint32_t asked(void)
{
	struct vring_used_elem used;
	struct virtio_vsock_hdr header;
	struct vsock_packet packet;
	struct fake_queue *ring = &vs_guest.queue[VSOCK_RECEIVE];

	vs_work();
	ck_assert(fake_queue_used(ring, &used));
	memcpy(&header,
	       fake_driver_at(&vs_guest, le64toh(ring->desc[used.id].addr), sizeof(header)),
	       sizeof(header));
	vsock_packet_parse(&packet, &header);
	ck_assert_uint_eq(packet.dst_cid, OTHER_CID);
	ck_assert_uint_eq(packet.op, VIRTIO_VSOCK_OP_REQUEST);
	return packet.src_port;
}

START_TEST(the_saved_one_goes_on)
{
	uint32_t port;
	char byte;

	give_event_buffer();
	int fd = vs_connected(5000, &port);
	save();
	vs_send_data(5000, port, "a", 1);
	ck_assert_uint_eq(vs_read(fd, &byte, 1), 1);
	ck_assert(!got_event());
	close(fd);
}
END_TEST

START_TEST(the_restored_one_begins_anew)
{
	uint32_t port, cid;

	give_event_buffer();
	int fd = vs_connected(5000, &port);
	move();
	vs_ended(fd);
	ck_assert_uint_eq(vs_count(), 0);
	cid = fake_driver_get(&vs_guest, VIRTIO_MMIO_CONFIG);
	ck_assert_uint_eq(cid, OTHER_CID);
	/* A connection that the guest took for an old one would never answer. */
	fd = ask();
	ck_assert(got_event());
	vs_got_nothing();
	give_event_buffer();
	/* The guest's program may still have the old connection's end. */
	ck_assert_uint_ne(asked(), port);
	ck_assert(!got_event());
	ck_assert(!vs_needs_reset());
	close(fd);
}
END_TEST

START_TEST(the_buffer_may_come_later)
{
	move();
	int fd = ask();
	ck_assert(!got_event());
	vs_got_nothing();
	give_event_buffer();
	ck_assert(got_event());
	vs_got_nothing();
	give_event_buffer();
	asked();
	close(fd);
}
END_TEST

/* What was told before the second snapshot, or was not, says nothing about the second clone. */
START_TEST(a_clone_of_a_clone)
{
	give_event_buffer();
	give_event_buffer();
	move();
	if (_i)
		ck_assert(got_event());
	move();
	ck_assert(got_event());
	int fd = ask();
	vs_got_nothing();
	give_event_buffer();
	asked();
	close(fd);
}
END_TEST

/* A driver that is bound anew has no connections: it is told nothing. */
START_TEST(a_reset_forgets_it)
{
	move();
	fake_driver_start(&vs_guest, VS_V1, VSOCK_QUEUES, VS_RING);
	vs_give(VS_RING);
	give_event_buffer();
	ck_assert(!got_event());
	int fd = ask();
	asked();
	close(fd);
}
END_TEST

START_TEST(a_guest_without_a_driver)
{
	fake_driver_set(&vs_guest, VIRTIO_MMIO_STATUS, 0);
	move();
	vs_ended(ask());
	ck_assert(!vs_needs_reset());
}
END_TEST

/* Nothing but an event has a place there. */
static const struct {
	unsigned int readable;
	struct gpa_range buffer;
} wrong[] = {{1, {EVENTS, EVENT_LEN}}, {0, {EVENTS, EVENT_LEN - 1}}, {0, {LOW_END, EVENT_LEN}}};

START_TEST(no_event_buffer)
{
	fake_queue_add(&vs_guest.queue[VSOCK_EVENT], &wrong[_i].buffer, 1, wrong[_i].readable);
	fake_driver_kick(&vs_guest, VSOCK_EVENT);
	ck_assert(!vs_needs_reset());
	move();
	vs_work();
	ck_assert(vs_needs_reset());
}
END_TEST

START_TEST(any_byte_can_be_wrong)
{
	static const uint8_t bits[] = {0x01, 0x80, 0xff};
	uint8_t good[sizeof(saved)];
	unsigned int refused = 0;

	give_event_buffer();
	save();
	memcpy(good, saved, saved_len);
	for (size_t i = 0; i < 3 * saved_len; i++) {
		struct why why = {""};
		memcpy(saved, good, saved_len);
		saved[i / 3] ^= bits[i % 3];
		int error = restore(saved_len, &why);
		ck_assert(error == 0 || error == -EINVAL);
		refused += error != 0;
		if (!error)
			vs_work();
	}
	ck_assert_uint_gt(refused, saved_len);
	memcpy(saved, good, saved_len);
	for (size_t len = 0; len < saved_len; len++) {
		struct why why = {""};
		ck_assert_int_eq(restore(len, &why), -EINVAL);
	}
}
END_TEST

Suite *vsock_saved_suite(void);
Suite *vsock_saved_suite(void)
{
	Suite *suite = suite_create("vsock, saved");
	TCase *all = tcase_create("all");
	tcase_add_checked_fixture(all, setup, vs_teardown);
	tcase_add_test(all, the_saved_one_goes_on);
	tcase_add_test(all, the_restored_one_begins_anew);
	tcase_add_test(all, the_buffer_may_come_later);
	tcase_add_loop_test(all, a_clone_of_a_clone, 0, 2);
	tcase_add_test(all, a_reset_forgets_it);
	tcase_add_test(all, a_guest_without_a_driver);
	tcase_add_loop_test(all, no_event_buffer, 0, (int)(sizeof(wrong) / sizeof(wrong[0])));
	tcase_add_test(all, any_byte_can_be_wrong);
	suite_add_tcase(suite, all);
	return suite;
}
