// SPDX-License-Identifier: Apache-2.0
/* Sockets whose queues the host's kernel serves, with a kernel that is not there; and a guest that breaks the rules. */
#include <check.h>
#include <errno.h>
#include <linux/vhost.h>
#include <linux/virtio_mmio.h>
#include <string.h>

#include "devices/virtio-vsock/lent.h"
#include "devices/virtio-vsock/vsock.h"
#include "devices/virtio/core.h"
#include "tests/unit/fake_driver.h"
#include "tests/unit/said.h"
#include "vmm/lib/wake.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))
#define V1	     (1ULL << VIRTIO_F_VERSION_1)
#define RINGS	     (V1 | 1ULL << VIRTIO_RING_F_EVENT_IDX | 1ULL << VIRTIO_RING_F_INDIRECT_DESC)
#define STREAM	     (1ULL << 0)
#define SEQPACKET    (1ULL << 1)
#define CID	     9
#define SERVED	     2 /* queues */
#define RING	     128

static struct fake_driver guest;
static struct vhost vhost;
static struct vsock_lent lent;

/* As drivers/vhost/vsock.c, which has no VHOST_RESET_OWNER. */
static struct {
	unsigned int calls, owners;
	unsigned long fails;
	uint64_t cid, features;
	bool running;
	struct {
		int kick, call, broken;
		unsigned int base;
		struct vhost_vring_addr rings;
	} queue[SERVED];
} kernel;

static int of_a_queue(unsigned long request, void *argument)
{
	const struct vhost_vring_file *file = argument;
	struct vhost_vring_state *state = argument;

	ck_assert_uint_lt(file->index, SERVED);
	if (request == VHOST_SET_VRING_KICK)
		kernel.queue[file->index].kick = file->fd;
	else if (request == VHOST_SET_VRING_CALL)
		kernel.queue[file->index].call = file->fd;
	else if (request == VHOST_SET_VRING_ERR)
		kernel.queue[file->index].broken = file->fd;
	else if (request == VHOST_SET_VRING_ADDR)
		memcpy(&kernel.queue[file->index].rings, argument, sizeof(struct vhost_vring_addr));
	else if (request == VHOST_GET_VRING_BASE)
		state->num = kernel.queue[state->index].base;
	else if (request == VHOST_SET_VRING_BASE)
		kernel.queue[state->index].base = state->num;
	else
		ck_assert_uint_eq(request, VHOST_SET_VRING_NUM);
	/* The kernel says EBUSY to some of these. */
	ck_assert_msg(!kernel.running, "request %lx of a queue that is served", request);
	return 0;
}

static int control(const struct vhost *asked, unsigned long request, void *argument)
{
	ck_assert_ptr_eq(asked, &vhost);
	kernel.calls++;
	if (kernel.fails == request &&
	    (request != VHOST_VSOCK_SET_RUNNING || *(const int *)argument == 1))
		return request == VHOST_VSOCK_SET_GUEST_CID ? -EADDRINUSE : -ENOMEM;
	switch (request) {
	case VHOST_GET_FEATURES:
		*(uint64_t *)argument = RINGS | SEQPACKET | 1ULL << VHOST_F_LOG_ALL;
		return 0;
	case VHOST_VSOCK_SET_GUEST_CID:
		kernel.cid = *(uint64_t *)argument;
		return 0;
	case VHOST_SET_OWNER:
		kernel.owners++;
		return 0;
	case VHOST_SET_FEATURES:
		kernel.features = *(uint64_t *)argument;
		return 0;
	case VHOST_SET_MEM_TABLE:
		return 0;
	case VHOST_VSOCK_SET_RUNNING:
		kernel.running = *(const int *)argument;
		/* From here on the kernel may interrupt the driver. */
		ck_assert(!kernel.running || lent.dev.lent == 3);
		return 0;
	default:
		return of_a_queue(request, argument);
	}
}

static void setup(void)
{
	memset(&kernel, 0, sizeof(kernel));
	memset(&lent, 0, sizeof(lent));
	fake_driver_init(&guest);
	vhost = (struct vhost){.fd = -1, .broken = -1, .lasting = true, .control = control};
	ck_assert_int_eq(vhost_init(&vhost, "/dev/vhost-vsock", VSOCK_VHOST_NEEDS), 0);
	ck_assert_int_eq(vsock_lent_init(&lent, &vhost, CID, &guest.host), 0);
	fake_driver_plug(&guest, &lent.dev);
}

static void teardown(void)
{
	virtio_core_stop(lent.dev.core, UINT64_MAX);
	ck_assert(!kernel.running);
	fake_driver_release(&guest);
	vhost_release(&vhost);
}

static void start(void)
{
	fake_driver_start(&guest, RINGS | STREAM | SEQPACKET, VSOCK_QUEUES, RING);
	fake_driver_work(&guest);
}

static void by_kernel(void)
{
	ck_assert(kernel.running);
	ck_assert_uint_eq(lent.dev.lent, 3);
	ck_assert_uint_eq(guest.muted, 3);
	for (unsigned int i = 0; i < SERVED; i++) {
		ck_assert_int_eq(kernel.queue[i].kick, guest.doorbell[i]);
		ck_assert_int_eq(kernel.queue[i].call, guest.call);
		ck_assert_int_eq(kernel.queue[i].broken, vhost.broken);
		ck_assert_uint_eq(kernel.queue[i].rings.avail_user_addr,
				  (uintptr_t)guest.queue[i].avail);
	}
}

/* The kernel has no way left to guest RAM's rings, doorbells and interrupts. */
static void by_nobody(void)
{
	ck_assert(!kernel.running && !lent.dev.lent && !guest.muted);
	for (unsigned int i = 0; i < SERVED; i++) {
		ck_assert_int_eq(kernel.queue[i].kick, -1);
		ck_assert_int_eq(kernel.queue[i].call, -1);
		ck_assert_int_eq(kernel.queue[i].broken, -1);
	}
}

static bool needs_reset(void)
{
	return fake_driver_get(&guest, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

static void reset(void)
{
	fake_driver_set(&guest, VIRTIO_MMIO_STATUS, 0);
}

/* Neither now, nor when a doorbell rings all the same. */
static void by_nobody_until_a_reset(void)
{
	by_nobody();
	fake_driver_spurious(&guest);
	by_nobody();
	reset();
	start();
	by_kernel();
}

START_TEST(starts_and_ends_with_the_driver)
{
	ck_assert_uint_eq(kernel.cid, CID);
	ck_assert_uint_eq(fake_driver_get(&guest, VIRTIO_MMIO_CONFIG), CID);
	ck_assert_uint_eq(fake_driver_get(&guest, VIRTIO_MMIO_CONFIG + 4), 0);
	ck_assert_uint_eq(kernel.owners, 0);
	for (unsigned int round = 0; round < 3; round++) {
		start();
		by_kernel();
		/* The kernel looks at chains that are there already. */
		for (unsigned int i = 0; i < SERVED; i++)
			ck_assert(wake_take(guest.doorbell[i]));
		reset();
		by_nobody();
	}
	/* Its thread stays. */
	ck_assert_uint_eq(kernel.owners, 1);
	ck_assert_uint_eq(kernel.features, RINGS | SEQPACKET);
}
END_TEST

START_TEST(goes_on_where_it_was)
{
	start();
	kernel.queue[VSOCK_TRANSMIT].base = 5;
	vsock_lent_hold(&lent, true);
	fake_driver_work(&guest);
	by_nobody();
	vsock_lent_hold(&lent, true);
	fake_driver_spurious(&guest);
	by_nobody();
	kernel.queue[VSOCK_TRANSMIT].base = 0;
	vsock_lent_hold(&lent, false);
	fake_driver_work(&guest);
	by_kernel();
	ck_assert_uint_eq(kernel.queue[VSOCK_TRANSMIT].base, 5);
	/* A doorbell that the worker hears all the same changes nothing. */
	unsigned int calls = kernel.calls;
	fake_driver_spurious(&guest);
	ck_assert_uint_eq(kernel.calls, calls);
	by_kernel();
}
END_TEST

/* The event queue is the driver's alone: what it does there is nothing to the others. */
START_TEST(event_queue)
{
	const struct gpa_range buffer = {UINT64_MAX - 7, 8};

	start();
	fake_queue_add(&guest.queue[VSOCK_EVENT], &buffer, 1, 0);
	fake_driver_kick(&guest, VSOCK_EVENT);
	ck_assert(!needs_reset());
	by_kernel();
}
END_TEST

static void stop_queue(unsigned int queue)
{
	fake_driver_set(&guest, VIRTIO_MMIO_QUEUE_SEL, queue);
	fake_driver_set(&guest, VIRTIO_MMIO_QUEUE_READY, 0);
	fake_driver_work(&guest);
}

START_TEST(a_queue_that_stops)
{
	start();
	stop_queue(VSOCK_TRANSMIT);
	by_nobody_until_a_reset();
}
END_TEST

/* The kernel never hears of a ring that is not in RAM, nor of one of two. */
START_TEST(rings_out_of_memory)
{
	unsigned int calls = kernel.calls;

	fake_driver_negotiate(&guest, RINGS);
	fake_driver_queue(&guest, VSOCK_RECEIVE, RING);
	fake_driver_addresses(&guest, VSOCK_TRANSMIT, RING);
	fake_driver_set(&guest, VIRTIO_MMIO_QUEUE_AVAIL_LOW, LOW_END - 8);
	fake_driver_set(&guest, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, 0);
	fake_driver_set(&guest, VIRTIO_MMIO_QUEUE_READY, 1);
	ck_assert(needs_reset());
	fake_driver_ok(&guest);
	fake_driver_spurious(&guest);
	ck_assert_uint_eq(kernel.calls, calls);

	reset();
	fake_driver_start(&guest, RINGS, 1, RING);
	fake_driver_spurious(&guest);
	ck_assert_uint_eq(kernel.calls, calls);
}
END_TEST

START_TEST(broken_ring)
{
	start();
	wake_ring(vhost.broken);
	ck_assert(wake_take(vhost.broken));
	virtio_queues_broken(&lent.dev);
	ck_assert(needs_reset());
	by_nobody_until_a_reset();
}
END_TEST

/* A driver that gives up is served by nobody, as one that is reset. */
START_TEST(driver_that_gives_up)
{
	start();
	fake_driver_set(&guest, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_FAILED);
	by_nobody();
	fake_driver_work(&guest);
	by_nobody_until_a_reset();
}
END_TEST

static const unsigned long refused[] = {VHOST_SET_OWNER, VHOST_SET_MEM_TABLE, VHOST_SET_VRING_ADDR,
					VHOST_SET_VRING_KICK, VHOST_VSOCK_SET_RUNNING};

/* The host refuses a step: said once, and the next driver finds the kernel again. */
START_TEST(refused_by_the_kernel)
{
	kernel.fails = refused[_i];
	said_begin();
	start();
	fake_driver_spurious(&guest);
	const char *said = said_end();
	ck_assert_ptr_nonnull(strstr(said, "cannot serve the guest's sockets"));
	ck_assert_ptr_eq(strchr(said, '\n'), strrchr(said, '\n'));
	ck_assert(!kernel.running && !lent.dev.lent && !guest.muted);
	kernel.fails = 0;
	reset();
	start();
	by_kernel();
}
END_TEST

START_TEST(cid_that_another_has)
{
	static struct vsock_lent other;

	kernel.fails = VHOST_VSOCK_SET_GUEST_CID;
	said_begin();
	ck_assert_int_eq(vsock_lent_init(&other, &vhost, CID, &guest.host), -EADDRINUSE);
	ck_assert_str_eq(said_end(), "ebb: another guest of this host has the CID 9, or the host "
				     "itself; choose another for --vsock vhost=1,cid=N\n");
}
END_TEST

Suite *vsock_lent_suite(void);
Suite *vsock_lent_suite(void)
{
	Suite *suite = suite_create("vsock_lent");
	TCase *tcase = tcase_create("vsock_lent");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, starts_and_ends_with_the_driver);
	tcase_add_test(tcase, goes_on_where_it_was);
	tcase_add_test(tcase, event_queue);
	tcase_add_test(tcase, a_queue_that_stops);
	tcase_add_test(tcase, rings_out_of_memory);
	tcase_add_test(tcase, broken_ring);
	tcase_add_test(tcase, driver_that_gives_up);
	tcase_add_loop_test(tcase, refused_by_the_kernel, 0, COUNT(refused));
	tcase_add_test(tcase, cid_that_another_has);
	suite_add_tcase(suite, tcase);
	return suite;
}
