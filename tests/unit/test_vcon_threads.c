// SPDX-License-Identifier: Apache-2.0
/* A worker, a driver that comes and goes, a host that types, resizes, comes and goes at a port, and a device that is held. */
#include <check.h>
#include <linux/virtio_mmio.h>
#include <pthread.h>
#include <sched.h>

#include "tests/unit/fake_vcon.h"

#define TURNS 40

static atomic_bool done;

static void *worker(void *unused)
{
	(void)unused;
	while (!atomic_load(&done))
		if (!fake_driver_turn(&vc_guest))
			sched_yield();
	return NULL;
}

static void *typist(void *unused)
{
	uint8_t key = 0;

	(void)unused;
	while (!atomic_load(&done)) {
		for (unsigned int port = 0; port < 3; port++)
			key += (uint8_t)vcon_receive(&vcon, port, &key, 1);
		sched_yield();
	}
	return NULL;
}

static void *host(void *unused)
{
	(void)unused;
	for (uint16_t i = 1; !atomic_load(&done); i++) {
		vcon_resize(&vcon, i, i);
		vcon_set_host_open(&vcon, 1, i & 1);
		vcon_hold(&vcon, i & 1);
		sched_yield();
	}
	vcon_hold(&vcon, false);
	return NULL;
}

/* The worker runs: the driver only makes chains available and rings. */
static void ring(unsigned int queue, uint32_t len, unsigned int readable)
{
	const struct gpa_range buffer = {VC_AT(queue, 0), len};

	fake_queue_add(&vc_guest.queue[queue], &buffer, 1, readable);
	fake_driver_set(&vc_guest, VIRTIO_MMIO_QUEUE_NOTIFY, queue);
}

START_TEST(all_at_once)
{
	void *(*const run[])(void *) = {worker, typist, host};
	const struct virtio_console_control open = {0, VIRTIO_CONSOLE_PORT_OPEN, 1},
					    ready = {0, VIRTIO_CONSOLE_PORT_READY, 1};
	pthread_t thread[3];

	atomic_store(&done, false);
	for (unsigned int i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, run[i], NULL), 0);
	for (unsigned int turn = 0; turn < TURNS; turn++) {
		fake_driver_negotiate(&vc_guest, VC_V1 | VC_SIZE | VC_MULTIPORT);
		for (unsigned int queue = 0; queue < 8; queue++)
			fake_driver_queue(&vc_guest, queue, VC_RING);
		fake_driver_ok(&vc_guest);
		*(struct virtio_console_control *)fake_driver_at(
			&vc_guest, VC_AT(VCON_CONTROL_FROM_GUEST, 0), 8) = turn & 1 ? open : ready;
		for (unsigned int i = 0; i < VC_RING / 2; i++)
			for (unsigned int queue = 0; queue < 8; queue++)
				ring(queue, queue == VCON_CONTROL_FROM_GUEST ? 8 : 64, queue & 1);
	}
	atomic_store(&done, true);
	for (unsigned int i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	ck_assert(!vc_needs_reset());
	fake_driver_work(&vc_guest);
	vc_start(VC_SIZE | VC_MULTIPORT, 8);
	ck_assert(vc_send(VC_TX(0), "a", 1));
}
END_TEST

Suite *vcon_threads_suite(void);
Suite *vcon_threads_suite(void)
{
	Suite *suite = suite_create("vcon_threads");
	TCase *all = tcase_create("all");

	tcase_add_checked_fixture(all, vc_setup, vc_teardown);
	tcase_add_test(all, all_at_once);
	suite_add_tcase(suite, all);
	return suite;
}
