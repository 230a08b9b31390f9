// SPDX-License-Identifier: Apache-2.0
/* A worker, a driver that comes and goes, a peer that sends all the time, and a link that goes up and down. */
#include <check.h>
#include <endian.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/unit/fake_net.h"

#define TURNS 60
#define LEN   1000

static atomic_bool done;

static void *worker(void *unused)
{
	(void)unused;
	while (!atomic_load(&done)) {
		net_ready(&net, 0);
		if (!fake_driver_turn(&net_guest))
			sched_yield();
	}
	return NULL;
}

/* Frames of LEN bytes, each of one value, and everything back that comes. */
static void *peer(void *unused)
{
	uint8_t bytes[4 + LEN];
	const uint32_t length = htobe32(LEN);
	size_t left = 0;
	uint8_t tag = 0;

	(void)unused;
	memcpy(bytes, &length, 4);
	while (!atomic_load(&done)) {
		uint8_t sink[4096];
		while (recv(net_peer, sink, sizeof(sink), 0) > 0)
			;
		if (left == 0) {
			memset(bytes + 4, ++tag, LEN);
			left = sizeof(bytes);
		}
		ssize_t sent = send(net_peer, bytes + sizeof(bytes) - left, left, MSG_NOSIGNAL);
		if (sent > 0)
			left -= (size_t)sent;
		else
			sched_yield();
	}
	return NULL;
}

static void *cable(void *unused)
{
	bool up = false;
	unsigned long long last = 0;

	(void)unused;
	while (!atomic_load(&done)) {
		uint16_t status;
		unsigned long long now = atomic_load(&net.counters[NET_RECEIVE].frames);
		if (now < last)
			return "a counter went back";
		last = now;
		net_set_link(&net, up);
		up = !up;
		virtio_mmio_read(&net_guest.mmio, VIRTIO_MMIO_CONFIG + 6, &status, 2);
		if (le16toh(status) > 1)
			return "a status of no kind";
		sched_yield();
	}
	net_set_link(&net, true);
	return NULL;
}

static bool is_whole(const struct vring_used_elem *element)
{
	struct fake_queue *ring = &net_guest.queue[NET_RECEIVE];
	const uint8_t *bytes = fake_driver_at(&net_guest, ring->desc[element->id].addr, NET_BUFFER);

	if (element->len != NET_HEADER + LEN)
		return false;
	for (unsigned int i = 0; i < LEN; i++)
		if (bytes[NET_HEADER + i] != bytes[NET_HEADER])
			return false;
	return true;
}

/* As net_give() and net_sends(), but the worker is another thread. */
static void give(unsigned int n)
{
	struct fake_queue *ring = &net_guest.queue[NET_RECEIVE];
	for (unsigned int i = 0; i < n; i++) {
		struct gpa_range buffer = {NET_RX + ring->next_desc % ring->size * NET_BUFFER,
					   NET_BUFFER};
		fake_queue_add(ring, &buffer, 1, 0);
	}
	fake_driver_set(&net_guest, VIRTIO_MMIO_QUEUE_NOTIFY, NET_RECEIVE);
}

static void send_frames(unsigned int n)
{
	const struct gpa_range buffer = {NET_TX, NET_HEADER + LEN};
	for (unsigned int i = 0; i < n; i++)
		fake_queue_add(&net_guest.queue[NET_TRANSMIT], &buffer, 1, 1);
	fake_driver_set(&net_guest, VIRTIO_MMIO_QUEUE_NOTIFY, NET_TRANSMIT);
}

static void *driver(void *unused)
{
	(void)unused;
	for (unsigned int turn = 0; turn < TURNS; turn++) {
		struct vring_used_elem element;
		unsigned int got = 0, sent = 0;

		fake_driver_negotiate(&net_guest, NET_ALL);
		for (unsigned int i = 0; i < NET_QUEUES; i++)
			fake_driver_queue(&net_guest, i, NET_RING);
		fake_driver_ok(&net_guest);
		give(16);
		send_frames(16);
		/* Every second turn waits for all, the others reset the device in the middle. */
		while (turn % 2 && (got < 16 || sent < 16)) {
			if (fake_queue_used(&net_guest.queue[NET_RECEIVE], &element)) {
				got++;
				if (!is_whole(&element))
					return "a frame of pieces of others";
			} else if (fake_queue_used(&net_guest.queue[NET_TRANSMIT], &element)) {
				sent++;
			} else {
				sched_yield();
			}
		}
		fake_driver_set(&net_guest, VIRTIO_MMIO_STATUS, 0);
		/* After the reset its memory is the driver's. */
		uint8_t *ram = fake_driver_at(&net_guest, NET_RX, NET_RING * NET_BUFFER);
		memset(ram, 0xee, NET_RING * NET_BUFFER);
		sched_yield();
		for (size_t i = 0; i < NET_RING * NET_BUFFER; i++)
			if (ram[i] != 0xee)
				return "written to after a reset";
	}
	return NULL;
}

START_TEST(resets_under_traffic)
{
	void *(*const run[])(void *) = {worker, peer, cable};
	pthread_t driving, other[3];
	void *wrong, *seen;

	atomic_store(&done, false);
	for (unsigned int i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&other[i], NULL, run[i], NULL), 0);
	ck_assert_int_eq(pthread_create(&driving, NULL, driver, NULL), 0);
	pthread_join(driving, &wrong);
	atomic_store(&done, true);
	for (unsigned int i = 0; i < 3; i++) {
		pthread_join(other[i], &seen);
		ck_assert_msg(!seen, "%s", (char *)seen);
	}
	ck_assert_msg(!wrong, "%s", (char *)wrong);
	ck_assert_uint_eq(net_lost_times, 0);
	ck_assert_uint_ge(atomic_load(&net.counters[NET_RECEIVE].frames), TURNS / 2 * 16);
}
END_TEST

Suite *net_threads_suite(void);
Suite *net_threads_suite(void)
{
	Suite *suite = suite_create("net, threads");
	TCase *tcase = tcase_create("threads");
	tcase_add_checked_fixture(tcase, net_setup, net_teardown);
	tcase_add_test(tcase, resets_under_traffic);
	suite_add_tcase(suite, tcase);
	return suite;
}
