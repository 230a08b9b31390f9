// SPDX-License-Identifier: Apache-2.0
/* A network whose queues the host's kernel serves, with a kernel that is not there. */
#include <check.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/fake_vhost.h"
#include "tests/unit/said.h"
#include "vmm/lib/wake.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))
static uint8_t frame[STREAM_FRAME_MAX];

/* The kernel serves both queues, and ebb neither. */
static void served_by_kernel(void)
{
	ck_assert(kernel.owned && backend_lent);
	for (unsigned int i = 0; i < NET_QUEUES; i++) {
		ck_assert_int_eq(kernel.queue[i].backend, net_stream.backend.fd);
		ck_assert(net.dev.queue[i].lent && net_guest.muted >> i & 1);
	}
	ck_assert(!net_needs_reset());
}

/* Nothing of the device is in the kernel. */
static void served_by_ebb(void)
{
	ck_assert(!kernel.owned && !backend_lent && !net.dev.lent && !net_guest.muted);
	for (unsigned int i = 0; i < NET_QUEUES; i++)
		ck_assert(!net.dev.queue[i].lent);
}

static uint32_t causes(void)
{
	return fake_driver_get(&net_guest, VIRTIO_MMIO_INTERRUPT_STATUS);
}

/* --- how it starts and ends ------------------------------------------------------------------ */

START_TEST(starts_with_the_driver)
{
	unsigned int opened = kernel.calls;

	/* A driver that never comes to DRIVER_OK. */
	fake_driver_negotiate(&net_guest, VHOST_ALL);
	for (unsigned int i = 0; i < NET_QUEUES; i++)
		fake_driver_queue(&net_guest, i, NET_RING);
	fake_driver_spurious(&net_guest);
	fake_driver_set(&net_guest, VIRTIO_MMIO_STATUS, 0);
	ck_assert_uint_eq(kernel.calls, opened);
	ck_assert_uint_eq(causes(), 0);

	net_start(VHOST_ALL);
	served_by_kernel();
	/* Those that are negotiated and that the kernel knows. */
	ck_assert_uint_eq(kernel.features, VHOST_RINGS);
	ck_assert_uint_eq(kernel.owners, 1);
}
END_TEST

/* RAM, what else is for buffers, and nothing more; and each ring where the driver put it. */
START_TEST(tells_where_rings_and_memory_are)
{
	static uint8_t file[4096];
	const unsigned int regions = net_guest.ram.regions;
	ck_assert_int_eq(ram_add_window(&net_guest.ram, 1ULL << 32, sizeof(file), file), 0);
	net_start(VHOST_ALL);
	ck_assert_uint_eq(kernel.memory.nregions, regions + 1);
	ck_assert_uint_eq(kernel.region[regions].guest_phys_addr, 1ULL << 32);
	ck_assert_uint_eq(kernel.region[regions].memory_size, sizeof(file));
	ck_assert_uint_eq(kernel.region[regions].userspace_addr, (uintptr_t)file);
	for (unsigned int i = 0; i < net_guest.ram.regions; i++) {
		ck_assert_uint_eq(kernel.region[i].guest_phys_addr, net_guest.ram.region[i].gpa);
		ck_assert_uint_eq(kernel.region[i].memory_size, net_guest.ram.region[i].size);
		ck_assert_uint_eq(kernel.region[i].userspace_addr,
				  (uintptr_t)net_guest.ram.region[i].hva);
	}
	for (unsigned int i = 0; i < NET_QUEUES; i++) {
		const struct fake_queue *ring = &net_guest.queue[i];
		const struct vhost_vring_addr *rings = &kernel.queue[i].rings;
		ck_assert_uint_eq(kernel.queue[i].size, NET_RING);
		ck_assert_uint_eq(kernel.queue[i].base, 0);
		ck_assert_uint_eq(rings->flags, 0);
		ck_assert_uint_eq(rings->desc_user_addr, (uintptr_t)ring->desc);
		ck_assert_uint_eq(rings->avail_user_addr, (uintptr_t)ring->avail);
		ck_assert_uint_eq(rings->used_user_addr, (uintptr_t)ring->used);
		ck_assert_int_eq(kernel.queue[i].kick, net_guest.doorbell[i]);
		ck_assert_int_eq(kernel.queue[i].call, net_guest.call);
		ck_assert_int_eq(kernel.queue[i].broken, vhost.broken);
		/* The kernel looks at chains that are there already. */
		ck_assert(wake_take(net_guest.doorbell[i]));
	}
}
END_TEST

static void stop_queue(unsigned int queue)
{
	fake_driver_set(&net_guest, VIRTIO_MMIO_QUEUE_SEL, queue);
	fake_driver_set(&net_guest, VIRTIO_MMIO_QUEUE_READY, 0);
}

START_TEST(ends_with_the_driver)
{
	for (unsigned int round = 1; round <= 3; round++) {
		net_start(VHOST_ALL);
		served_by_kernel();
		fake_driver_set(&net_guest, VIRTIO_MMIO_STATUS, 0);
		served_by_ebb();
		ck_assert_uint_eq(causes(), 0);
		ck_assert_uint_eq(kernel.owners, round);
	}
	net_start(VHOST_ALL);
	stop_queue(NET_RECEIVE);
	served_by_ebb();
	/* The other queue is ebb's now. */
	ck_assert(net_sends(60, 1));
	ck_assert_uint_eq(net_peer_gets(frame), 60);
	ck_assert_uint_eq(kernel.owners, 4);
}
END_TEST

/* The worker does nothing while the kernel serves the queues: not even look at the rings. */
START_TEST(leaves_the_rings_alone)
{
	struct vring_used_elem element;

	net_start(VHOST_ALL);
	net_give(4);
	ck_assert(!net_sends(60, 1));
	fake_driver_spurious(&net_guest);
	net_ready(&net, 0);
	net_peer_sends(60, 2);
	for (unsigned int i = 0; i < NET_QUEUES; i++) {
		const struct vring_used *used = net_guest.queue[i].used;
		ck_assert(!fake_queue_used(&net_guest.queue[i], &element));
		/* The event index behind the ring is the kernel's. */
		ck_assert_uint_eq(*(const uint16_t *)&used->ring[NET_RING], 0);
	}
	served_by_kernel();
}
END_TEST

/* Its interrupts do not come by the device's registers. */
START_TEST(shows_the_kernels_interrupts)
{
	net_start(VHOST_ALL);
	ck_assert_uint_eq(causes(), VIRTIO_MMIO_INT_VRING);
	fake_driver_set(&net_guest, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
	ck_assert_uint_eq(causes(), VIRTIO_MMIO_INT_VRING);
	net_set_link(&net, false);
	ck_assert_uint_eq(causes(), VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG);
	/* One that the kernel raised just before is still shown. */
	unsigned int interrupts = net_guest.interrupts;
	fake_driver_work(&net_guest);
	served_by_ebb();
	ck_assert_uint_eq(causes() & VIRTIO_MMIO_INT_VRING, VIRTIO_MMIO_INT_VRING);
	ck_assert_uint_gt(net_guest.interrupts, interrupts);
	fake_driver_set(&net_guest, VIRTIO_MMIO_INTERRUPT_ACK, causes());
	ck_assert_uint_eq(causes(), 0);
}
END_TEST

/* --- handing over ---------------------------------------------------------------------------- */

/* The queues go back and forth, each time from where the other has come to. */
START_TEST(link_down_and_up)
{
	net_start(VHOST_ALL);
	kernel_works(NET_TRANSMIT, 0);
	net_set_link(&net, false);
	fake_driver_work(&net_guest);
	for (unsigned int i = 0; i < 3; i++)
		ck_assert(net_sends(60, 1));
	ck_assert_uint_eq(net_peer_gets(frame), 0);
	ck_assert_uint_eq(net.counters[NET_TRANSMIT].dropped, 3);

	net_set_link(&net, true);
	fake_driver_work(&net_guest);
	served_by_kernel();
	ck_assert_uint_eq(kernel.queue[NET_TRANSMIT].base, 3);
	ck_assert(!net_sends(60, 2));
	ck_assert(!net_sends(60, 2));
	kernel_works(NET_TRANSMIT, 2);

	/* Chains that the kernel has not come to are found, although nobody rings again. */
	ck_assert(!net_sends(60, 3));
	net_set_link(&net, false);
	fake_driver_work(&net_guest);
	served_by_ebb();
	ck_assert_uint_eq(net.counters[NET_TRANSMIT].dropped, 4);
	ck_assert(net_sends(60, 4));
	ck_assert(!net_needs_reset());
}
END_TEST

/* Out and in before the worker looks. */
START_TEST(link_that_bounces)
{
	net_start(VHOST_ALL);
	net_set_link(&net, false);
	net_set_link(&net, true);
	fake_driver_work(&net_guest);
	served_by_kernel();
	ck_assert_uint_eq(kernel.owners, 1);
}
END_TEST

/* While the guest is paused nothing accesses its memory, whoever serves the queues. */
START_TEST(held)
{
	struct vring_used_elem element;

	net_start(VHOST_ALL);
	net_give(4);
	net_hold(&net, true);
	fake_driver_work(&net_guest);
	served_by_ebb();
	net_peer_sends(60, 1);
	ck_assert(!net_sends(60, 2));
	ck_assert(!fake_queue_used(&net_guest.queue[NET_RECEIVE], &element));
	ck_assert_uint_eq(net_peer_gets(frame), 0);

	net_hold(&net, false);
	fake_driver_work(&net_guest);
	served_by_kernel();
	ck_assert_uint_eq(kernel.owners, 2);
	fake_driver_set(&net_guest, VIRTIO_MMIO_STATUS, 0);
	net_hold(&net, true);
	fake_driver_work(&net_guest);
	net_start(VHOST_ALL);
	ck_assert(!kernel.owned);
}
END_TEST

/* A frame that ebb could not send yet is the kernel's first one. */
START_TEST(half_way)
{
	unsigned int sent = 0;

	kernel.fails = VHOST_SET_MEM_TABLE;
	net_start(VHOST_ALL);
	served_by_ebb();
	while (net_sends(30000, (uint8_t)sent))
		ck_assert_uint_lt(++sent, NET_RING);
	ck_assert(net.pair[0].tx.busy);
	kernel.fails = 0;
	/* The device is not reset: only for this test may it try again. */
	net.pair[0].vhost_failed = false;
	fake_driver_spurious(&net_guest);
	served_by_kernel();
	ck_assert_uint_eq(kernel.queue[NET_TRANSMIT].base, sent);
}
END_TEST

/* --- what goes wrong ------------------------------------------------------------------------- */

static const struct {
	const char *what;
	unsigned long request;
	unsigned int queue;
} refused[] = {
	{"owner", VHOST_SET_OWNER, 0},
	{"features", VHOST_SET_FEATURES, 0},
	{"memory", VHOST_SET_MEM_TABLE, 0},
	{"size", VHOST_SET_VRING_NUM, 0},
	{"base", VHOST_SET_VRING_BASE, 1},
	{"rings", VHOST_SET_VRING_ADDR, 1},
	{"errors", VHOST_SET_VRING_ERR, 1},
	{"calls", VHOST_SET_VRING_CALL, 1},
	{"kicks", VHOST_SET_VRING_KICK, 1},
	{"first backend", VHOST_NET_SET_BACKEND, 0},
	{"second backend", VHOST_NET_SET_BACKEND, 1},
};

/* The host refuses a step: frames pass through ebb, and the next driver finds the kernel again. */
START_TEST(refused_by_the_kernel)
{
	kernel.fails = refused[_i].request;
	kernel.fails_at = refused[_i].queue;
	said_begin();
	net_start(VHOST_ALL);
	ck_assert_msg(strstr(said_end(), "the host's kernel cannot serve the queues"), "%s",
		      refused[_i].what);
	served_by_ebb();
	net_give(1);
	ck_assert(net_sends(60, 1));
	ck_assert_uint_eq(net_peer_gets(frame), 60);
	net_peer_sends(60, 2);
	net_got(60, 2, 1);
	ck_assert(!net_needs_reset());

	kernel.fails = 0;
	net_start(VHOST_ALL);
	served_by_kernel();
}
END_TEST

/* A thread that does not end is used again. */
START_TEST(owner_that_stays)
{
	kernel.fails = VHOST_RESET_OWNER;
	net_start(VHOST_ALL);
	fake_driver_set(&net_guest, VIRTIO_MMIO_STATUS, 0);
	ck_assert(kernel.owned && !net.dev.lent);
	ck_assert_int_eq(kernel.queue[NET_RECEIVE].backend, -1);
	net_start(VHOST_ALL);
	served_by_kernel();
	ck_assert_uint_eq(kernel.owners, 1);
}
END_TEST

/* The kernel finds a ring that it cannot use: the device stops until its driver resets it. */
START_TEST(broken_ring)
{
	net_start(VHOST_ALL);
	wake_ring(vhost.broken);
	ck_assert(wake_take(vhost.broken));
	virtio_queues_broken(&net.dev);
	ck_assert(net_needs_reset());
	served_by_ebb();
	ck_assert(causes() & VIRTIO_MMIO_INT_CONFIG);
	fake_driver_work(&net_guest);
	ck_assert(!net_sends(60, 1));

	/* Too late: what was said of the last rings does not harm the next driver. */
	fake_driver_set(&net_guest, VIRTIO_MMIO_STATUS, 0);
	wake_ring(vhost.broken);
	virtio_queues_broken(&net.dev);
	net_start(VHOST_ALL);
	served_by_kernel();
}
END_TEST

static const struct {
	const char *what;
	uint64_t offset; /* of the register's lower half */
	uint64_t gpa;
} rings[] = {
	{"descriptors beyond RAM", VIRTIO_MMIO_QUEUE_DESC_LOW, HIGH_END},
	{"descriptors across the end", VIRTIO_MMIO_QUEUE_DESC_LOW, HIGH_END - 16},
	{"descriptors across a hole", VIRTIO_MMIO_QUEUE_DESC_LOW, LOW_END - 32},
	{"descriptors that wrap", VIRTIO_MMIO_QUEUE_DESC_LOW, UINT64_MAX - 15},
	{"available ring in a hole", VIRTIO_MMIO_QUEUE_AVAIL_LOW, LOW_END + 4096},
	{"available ring without room for its event", VIRTIO_MMIO_QUEUE_AVAIL_LOW,
	 HIGH_END - (4 + 2 * NET_RING)},
	{"used ring beyond RAM", VIRTIO_MMIO_QUEUE_USED_LOW, 1ULL << 40},
	{"used ring without room for its event", VIRTIO_MMIO_QUEUE_USED_LOW,
	 HIGH_END - (4 + 8 * NET_RING)},
	{"used ring that is not aligned", VIRTIO_MMIO_QUEUE_USED_LOW, BLOCKS_GPA + 2},
};

/* The kernel never hears of a ring that is not in RAM, as long as it may become. */
START_TEST(rings_out_of_memory)
{
	unsigned int opened = kernel.calls;

	fake_driver_negotiate(&net_guest, VHOST_ALL);
	fake_driver_queue(&net_guest, NET_RECEIVE, NET_RING);
	fake_driver_addresses(&net_guest, NET_TRANSMIT, NET_RING);
	fake_driver_set(&net_guest, (uint32_t)rings[_i].offset, (uint32_t)rings[_i].gpa);
	fake_driver_set(&net_guest, (uint32_t)rings[_i].offset + 4,
			(uint32_t)(rings[_i].gpa >> 32));
	fake_driver_set(&net_guest, VIRTIO_MMIO_QUEUE_READY, 1);
	ck_assert_msg(net_needs_reset(), "%s", rings[_i].what);
	fake_driver_ok(&net_guest);
	fake_driver_spurious(&net_guest);
	ck_assert_msg(kernel.calls == opened, "%s", rings[_i].what);
}
END_TEST

/* A driver that moves a ring, or makes only one, later. */
START_TEST(rings_that_come_late)
{
	net_start(VHOST_ALL);
	struct vhost_vring_addr before = kernel.queue[NET_TRANSMIT].rings;
	unsigned int calls = kernel.calls;
	fake_driver_set(&net_guest, VIRTIO_MMIO_QUEUE_SEL, NET_TRANSMIT);
	fake_driver_set(&net_guest, VIRTIO_MMIO_QUEUE_DESC_HIGH, 1);
	fake_driver_set(&net_guest, VIRTIO_MMIO_QUEUE_READY, 1);
	fake_driver_spurious(&net_guest);
	ck_assert_mem_eq(&before, &kernel.queue[NET_TRANSMIT].rings, sizeof(before));
	ck_assert_uint_eq(kernel.calls, calls);

	fake_driver_set(&net_guest, VIRTIO_MMIO_STATUS, 0);
	fake_driver_start(&net_guest, VHOST_ALL, 1, NET_RING);
	served_by_ebb();
}
END_TEST

/* --- features -------------------------------------------------------------------------------- */

static int old_kernel(const struct vhost *asked, unsigned long request, void *argument)
{
	(void)asked;
	ck_assert_uint_eq(request, VHOST_GET_FEATURES);
	*(uint64_t *)argument = NET_VHOST_NEEDS;
	return 0;
}

static int no_vhost(const struct vhost *asked, unsigned long request, void *argument)
{
	(void)asked, (void)request, (void)argument;
	return -ENOTTY;
}

START_TEST(features_of_the_kernel)
{
	struct fake_driver other;
	struct net old;
	struct vhost few = {.fd = -1, .broken = -1, .control = old_kernel};
	struct net_config config = {.pairs = 1,
				    .backend = {&net_stream.backend},
				    .vhost = {&few},
				    .lend = vhost_lend_backend};

	ck_assert_int_eq(vhost_init(&few, "/dev/vhost-net", NET_VHOST_NEEDS), 0);
	fake_driver_init(&other);
	net_init(&old, &config, &other.host);
	ck_assert_uint_eq(old.dev.features_offered & VHOST_ALL, NET_ALL);
	ck_assert_uint_eq(net.dev.features_offered & VHOST_ALL, VHOST_ALL);
	vhost_release(&few);
	fake_driver_release(&other);

	struct vhost too_few = {.fd = -1, .broken = -1, .control = old_kernel};
	said_begin();
	ck_assert_int_eq(vhost_init(&too_few, "X", NET_VHOST_NEEDS | 1ULL << 60), -EOPNOTSUPP);
	ck_assert_str_eq(said_end(),
			 "ebb: X lacks the features 0x1000000000000000: the host's kernel is "
			 "too old for vhost=1\n");
	too_few.control = no_vhost;
	said_begin();
	ck_assert_int_eq(vhost_init(&too_few, "X", 0), -ENOTTY);
	ck_assert_ptr_nonnull(strstr(said_end(), "X is not a vhost device"));
}
END_TEST

Suite *vhost_suite(void);
Suite *vhost_suite(void)
{
	Suite *suite = suite_create("vhost");
	TCase *tcase = tcase_create("vhost");
	tcase_add_checked_fixture(tcase, vhost_setup, vhost_teardown);
	tcase_add_test(tcase, starts_with_the_driver);
	tcase_add_test(tcase, tells_where_rings_and_memory_are);
	tcase_add_test(tcase, ends_with_the_driver);
	tcase_add_test(tcase, leaves_the_rings_alone);
	tcase_add_test(tcase, shows_the_kernels_interrupts);
	tcase_add_test(tcase, link_down_and_up);
	tcase_add_test(tcase, link_that_bounces);
	tcase_add_test(tcase, held);
	tcase_add_test(tcase, half_way);
	tcase_add_loop_test(tcase, refused_by_the_kernel, 0, COUNT(refused));
	tcase_add_test(tcase, owner_that_stays);
	tcase_add_test(tcase, broken_ring);
	tcase_add_loop_test(tcase, rings_out_of_memory, 0, COUNT(rings));
	tcase_add_test(tcase, rings_that_come_late);
	tcase_add_test(tcase, features_of_the_kernel);
	suite_add_tcase(suite, tcase);
	return suite;
}
