// SPDX-License-Identifier: Apache-2.0
/* A network of several pairs of queues: the driver's commands, right and wrong, and what passes by which pair. */
#include <check.h>
#include <endian.h>
#include <errno.h>
#include <linux/vhost.h>
#include <string.h>

#include "tests/unit/fake_net.h"
#include "vmm/lib/clock.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))
#define PAIRS	     3
#define CONTROL	     (PAIRS * NET_QUEUES)
#define MQ	     (1ULL << VIRTIO_NET_F_MQ)
#define CTRL	     (1ULL << VIRTIO_NET_F_CTRL_VQ)
#define ALL	     (NET_ALL | MQ | CTRL)
#define LEN	     60
#define COMMAND	     (NET_TX + MIB)
#define ANSWER	     (NET_TX + 2 * MIB)
#define UNWRITTEN    0xee

/* A backend as a tap's queue: a frame that waits, and how many were sent. */
static struct end {
	struct net_backend backend;
	bool detached, waiting;
	unsigned int sent;
	int refuses; /* to be attached or detached */
} ends[PAIRS];

/* What the host's kernel serves. */
static struct vhost vhosts[PAIRS];
static struct {
	unsigned int connected; /* bit n: queue n of the vhost has a backend */
	int kick[NET_QUEUES];
} kernels[PAIRS];
static unsigned int lent; /* bit n: the backend of pair n */

static int end_send(struct net_backend *backend, const struct virtio_net_hdr_v1 *header,
		    struct iovec *iov, unsigned int n, size_t len)
{
	(void)header, (void)iov, (void)n, (void)len;
	((struct end *)backend)->sent++;
	return 0;
}

static ssize_t end_receive(struct net_backend *backend, struct virtio_net_hdr_v1 *header,
			   const uint8_t **frame)
{
	static const uint8_t bytes[LEN] = {2};
	struct end *end = (struct end *)backend;

	if (!end->waiting)
		return -EAGAIN;
	end->waiting = false;
	*header = (struct virtio_net_hdr_v1){0};
	*frame = bytes;
	return LEN;
}

static int end_attach(struct net_backend *backend, bool on)
{
	struct end *end = (struct end *)backend;

	if (end->refuses)
		return end->refuses;
	/* The kernel's queues are lent and taken back while frames come. */
	ck_assert(on || !kernels[end - ends].connected);
	end->detached = !on;
	return 0;
}

static const struct net_backend_ops end_ops = {
	.send = end_send,
	.receive = end_receive,
	.attach = end_attach,
};

static int control(const struct vhost *vhost, unsigned long request, void *argument)
{
	const struct vhost_vring_file *file = argument;
	unsigned int i = (unsigned int)(vhost - vhosts);

	if (request == VHOST_GET_FEATURES)
		*(uint64_t *)argument = NET_VHOST_NEEDS;
	if (request == VHOST_NET_SET_BACKEND) {
		ck_assert_uint_lt(file->index, NET_QUEUES);
		ck_assert(file->fd == -1 || file->fd == ends[i].backend.fd);
		ck_assert(file->fd == -1 || !ends[i].detached);
		kernels[i].connected &= ~(1U << file->index);
		kernels[i].connected |= (file->fd >= 0) << file->index;
	}
	if (request == VHOST_SET_VRING_KICK)
		kernels[i].kick[file->index] = file->fd;
	return 0;
}

static void lend(void *ctx, unsigned int pair, bool on)
{
	(void)ctx;
	lent = (lent & ~(1U << pair)) | (unsigned int)on << pair;
}

static void setup_with(bool with_vhost)
{
	struct net_config config = {.mtu = 1500, .pairs = PAIRS, .lend = lend, .save_advice = "x"};

	fake_driver_init(&net_guest);
	memset(ends, 0, sizeof(ends));
	memset(kernels, 0, sizeof(kernels));
	memset(vhosts, 0, sizeof(vhosts));
	lent = 0;
	for (unsigned int i = 0; i < PAIRS; i++) {
		ends[i].backend = (struct net_backend){&end_ops, 100 + (int)i, 0};
		ends[i].detached = i > 0;
		config.backend[i] = &ends[i].backend;
		if (!with_vhost)
			continue;
		vhosts[i] = (struct vhost){.fd = -1, .broken = -1, .control = control};
		ck_assert_int_eq(vhost_init(&vhosts[i], "/dev/vhost-net", NET_VHOST_NEEDS), 0);
		config.vhost[i] = &vhosts[i];
	}
	net_init(&net, &config, &net_guest.host);
	fake_driver_plug(&net_guest, &net.dev);
}

static void setup(void)
{
	setup_with(false);
}

static void setup_vhost(void)
{
	setup_with(true);
}

static void teardown(void)
{
	virtio_core_stop(net.dev.core, UINT64_MAX);
	for (unsigned int i = 0; i < PAIRS; i++)
		vhost_release(&vhosts[i]);
	fake_driver_release(&net_guest);
}

static void start(uint64_t features)
{
	fake_driver_start(&net_guest, features, CONTROL + 1, NET_RING);
}

/* Sends @len bytes to the control queue @queue, cut after @cut of them. Returns the answer, or UNWRITTEN. */
static uint8_t commands_by(unsigned int queue, const void *bytes, uint32_t len, uint32_t cut)
{
	const struct gpa_range buffer[] = {{COMMAND, cut}, {COMMAND + cut, len - cut}, {ANSWER, 1}};
	struct vring_used_elem element;
	uint8_t *answer = fake_driver_at(&net_guest, ANSWER, 1);

	*answer = UNWRITTEN;
	memcpy(fake_driver_at(&net_guest, COMMAND, len + 1), bytes, len);
	fake_queue_add(&net_guest.queue[queue], buffer, 3, 2);
	fake_driver_kick(&net_guest, queue);
	if (fake_queue_used(&net_guest.queue[queue], &element))
		ck_assert_uint_eq(element.len, 1);
	return *answer;
}

static uint8_t sets_pairs_soon(uint16_t pairs)
{
	const uint8_t bytes[] = {VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET,
				 (uint8_t)pairs, (uint8_t)(pairs >> 8)};
	return commands_by(CONTROL, bytes, sizeof(bytes), 2);
}

/* Long after the last command. */
static uint8_t sets_pairs(uint16_t pairs)
{
	net.next_command = 0;
	return sets_pairs_soon(pairs);
}

/* Frames come by the first @pairs alone. */
static void receives_by(unsigned int pairs)
{
	ck_assert_uint_eq(net.pairs, pairs);
	for (unsigned int i = 0; i < PAIRS; i++) {
		struct fake_queue *ring = &net_guest.queue[i * NET_QUEUES + NET_RECEIVE];
		const struct gpa_range buffer = {NET_RX, NET_BUFFER};
		struct vring_used_elem element;

		ck_assert_int_eq(ends[i].detached, i >= pairs);
		fake_queue_add(ring, &buffer, 1, 0);
		ends[i].waiting = true;
		net_ready(&net, i);
		ck_assert_int_eq(fake_queue_used(ring, &element), i < pairs);
		ends[i].waiting = false;
	}
	ck_assert(!net_needs_reset());
}

static bool sends_by(unsigned int pair)
{
	struct fake_queue *ring = &net_guest.queue[pair * NET_QUEUES + NET_TRANSMIT];
	const struct gpa_range buffer = {NET_TX, NET_HEADER + LEN};
	struct vring_used_elem element;
	unsigned int before = ends[pair].sent;

	fake_queue_add(ring, &buffer, 1, 1);
	fake_driver_kick(&net_guest, pair * NET_QUEUES + NET_TRANSMIT);
	return fake_queue_used(ring, &element) && ends[pair].sent == before + 1;
}

static uint16_t pairs_offered(void)
{
	uint16_t most;
	virtio_mmio_read(&net_guest.mmio,
			 VIRTIO_MMIO_CONFIG +
				 offsetof(struct virtio_net_config, max_virtqueue_pairs),
			 &most, 2);
	return le16toh(most);
}

/* --- a driver that keeps to the rules ---------------------------------------------------------- */

START_TEST(uses_several)
{
	start(ALL);
	ck_assert_uint_eq(pairs_offered(), PAIRS);
	receives_by(1);
	for (uint16_t pairs = 1; pairs <= PAIRS; pairs++) {
		ck_assert_uint_eq(sets_pairs(pairs), VIRTIO_NET_OK);
		receives_by(pairs);
		ck_assert(sends_by(pairs - 1));
	}
	for (unsigned int i = 0; i < PAIRS; i++)
		ck_assert_uint_eq(net.counters[i * NET_QUEUES + NET_TRANSMIT].frames, 1);
	struct net_counters sum;
	net_sum(&net, NET_RECEIVE, &sum);
	ck_assert_uint_eq(sum.frames, 1 + 1 + 2 + 3);
	ck_assert_uint_eq(sum.bytes, 7 * LEN);
	ck_assert_uint_eq(sets_pairs(1), VIRTIO_NET_OK);
	receives_by(1);
}
END_TEST

/* How the driver cuts a command has no meaning. */
START_TEST(command_in_pieces)
{
	const uint8_t bytes[] = {VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 2, 0};

	start(ALL);
	ck_assert_uint_eq(commands_by(CONTROL, bytes, 4, (uint32_t)_i), VIRTIO_NET_OK);
	receives_by(2);
}
END_TEST

/* A reset leaves one pair, also while others are in use, and forgets frames that wait. */
START_TEST(reset_restores_one)
{
	start(ALL);
	ck_assert_uint_eq(sets_pairs(PAIRS), VIRTIO_NET_OK);
	ends[2].waiting = true;
	net_ready(&net, 2);
	ck_assert_uint_eq(net.pair[2].rx.len, LEN);
	fake_driver_set(&net_guest, VIRTIO_MMIO_STATUS, 0);
	ck_assert_uint_eq(net.pair[2].rx.len, 0);
	ck_assert(ends[1].detached && ends[2].detached);
	start(ALL);
	receives_by(1);
	ck_assert_uint_eq(sets_pairs(2), VIRTIO_NET_OK);
	receives_by(2);
}
END_TEST

/* A frame that waits for a buffer of a pair that is left is dropped, and counted: it does not come much later. */
START_TEST(leaves_a_pair_with_a_frame)
{
	start(ALL);
	ck_assert_uint_eq(sets_pairs(2), VIRTIO_NET_OK);
	ends[1].waiting = true;
	net_ready(&net, 1);
	ck_assert_uint_eq(net.pair[1].rx.len, LEN);
	ck_assert_uint_eq(sets_pairs(1), VIRTIO_NET_OK);
	ck_assert_uint_eq(net.counters[NET_QUEUES + NET_RECEIVE].dropped, 1);
	ck_assert_uint_eq(sets_pairs(2), VIRTIO_NET_OK);
	receives_by(2);
	ck_assert_uint_eq(net.counters[NET_QUEUES + NET_RECEIVE].frames, 1);
}
END_TEST

/* Without VIRTIO_NET_F_MQ the control queue is the third, and has nothing to say; the others are deaf. */
START_TEST(driver_of_one_pair)
{
	const uint8_t bytes[] = {VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 1, 0};

	start(NET_ALL | CTRL);
	ck_assert_uint_eq(commands_by(NET_QUEUES, bytes, 4, 2), VIRTIO_NET_ERR);
	ck_assert_uint_eq(commands_by(CONTROL, bytes, 4, 2), UNWRITTEN);
	ck_assert(sends_by(0));
	ck_assert(!sends_by(1));
	ck_assert(!net_needs_reset());
}
END_TEST

/* A paused guest's commands wait. */
START_TEST(held)
{
	start(ALL);
	net_hold(&net, true);
	ck_assert_uint_eq(sets_pairs(2), UNWRITTEN);
	net_hold(&net, false);
	fake_driver_work(&net_guest);
	receives_by(2);
}
END_TEST

/* The host refuses: the driver hears so, and all is as before. */
START_TEST(host_that_refuses)
{
	start(ALL);
	ck_assert_uint_eq(sets_pairs(2), VIRTIO_NET_OK);
	ends[2].refuses = -EINVAL;
	ck_assert_uint_eq(sets_pairs(3), VIRTIO_NET_ERR);
	receives_by(2);
	/* One whose interface was removed has nothing to attach. */
	ends[2].backend.fd = -1;
	ck_assert_uint_eq(sets_pairs(3), VIRTIO_NET_OK);

	/* The next driver begins with one all the same. */
	ends[1].refuses = -EINVAL;
	fake_driver_set(&net_guest, VIRTIO_MMIO_STATUS, 0);
	ck_assert_uint_eq(net.pairs, 1);
}
END_TEST

/* --- others ------------------------------------------------------------------------------------ */

static const struct {
	uint8_t bytes[6];
	uint32_t len;
} refused[] = {
	{{VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 0, 0}, 4},
	{{VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, PAIRS + 1, 0}, 4},
	{{VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 0, 0x80}, 4},
	{{VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 1, 0x80}, 4},
	{{VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 0xff, 0xff}, 4},
	/* Odd sizes. */
	{{VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 2}, 3},
	{{VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 2, 0, 0}, 5},
	{{VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET}, 2},
	{{VIRTIO_NET_CTRL_MQ}, 1},
	{{0}, 0},
	/* Commands that are not there. */
	{{VIRTIO_NET_CTRL_MQ, 1 /* RSS */, 2, 0}, 4},
	{{VIRTIO_NET_CTRL_RX, 0, 2, 0}, 4},
	{{0xff, 0xff, 0xff, 0xff}, 4},
};

START_TEST(refuses)
{
	start(ALL);
	ck_assert_uint_eq(sets_pairs(2), VIRTIO_NET_OK);
	net.next_command = 0;
	ck_assert_uint_eq(commands_by(CONTROL, refused[_i].bytes, refused[_i].len, 0),
			  VIRTIO_NET_ERR);
	receives_by(2);
	ck_assert_uint_eq(sets_pairs(3), VIRTIO_NET_OK);
}
END_TEST

static const struct {
	struct gpa_range buffer[2];
	unsigned int readable;
} broken[] = {
	{{{COMMAND, 4}, {ANSWER, 1}}, 2},	 /* no room for an answer */
	{{{COMMAND, 4}, {ANSWER, 0}}, 1},	 /* of no length */
	{{{COMMAND, 4}, {LOW_END, 1}}, 1},	 /* not RAM */
	{{{LOW_END, 4}, {ANSWER, 1}}, 1},	 /* a command that is not */
	{{{UINT64_MAX - 1, 4}, {ANSWER, 1}}, 1}, /* that wraps */
	{{{COMMAND, 4}, {UINT64_MAX, 0xffffffff}}, 1},
};

/* The device stops, and the command, which is a good one, has no effect. */
START_TEST(breaks_the_rules)
{
	const uint8_t bytes[] = {VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 2, 0};

	start(ALL);
	memcpy(fake_driver_at(&net_guest, COMMAND, 4), bytes, 4);
	fake_queue_add(&net_guest.queue[CONTROL], broken[_i].buffer, 2, broken[_i].readable);
	fake_driver_kick(&net_guest, CONTROL);
	ck_assert(net_needs_reset());
	ck_assert_uint_eq(net.pairs, 1);
	start(ALL);
	ck_assert_uint_eq(sets_pairs(2), VIRTIO_NET_OK);
	receives_by(2);
}
END_TEST

/* Changes are work of the host's kernel: the second waits, also behind a reset; what changes nothing makes nobody wait. */
START_TEST(in_a_hurry)
{
	const uint8_t *answer = fake_driver_at(&net_guest, ANSWER, 1);

	start(ALL);
	for (unsigned int i = 0; i < 3; i++)
		ck_assert_uint_eq(sets_pairs_soon(1), VIRTIO_NET_OK);
	ck_assert_uint_eq(sets_pairs_soon(2), VIRTIO_NET_OK);
	ck_assert_uint_gt(net.next_command, clock_ns());
	net.next_command = UINT64_MAX;
	fake_driver_set(&net_guest, VIRTIO_MMIO_STATUS, 0);
	start(ALL);
	ck_assert_uint_eq(sets_pairs_soon(3), UNWRITTEN);
	ck_assert_uint_eq(net_guest.deferred_until, UINT64_MAX);
	receives_by(1);
	/* It comes then, without a doorbell. */
	net.next_command = clock_ns();
	virtio_core_work(net.dev.core, CONTROL);
	ck_assert_uint_eq(*answer, VIRTIO_NET_OK);
	receives_by(3);
}
END_TEST

/* Queues of pairs that are not in use: nothing comes there, and what is sent leaves by its own backend. */
START_TEST(kicks_what_is_not_in_use)
{
	start(ALL);
	receives_by(1);
	for (unsigned int i = 0; i < 0x20; i++)
		fake_driver_set(&net_guest, VIRTIO_MMIO_QUEUE_NOTIFY, i);
	fake_driver_spurious(&net_guest);
	ck_assert(sends_by(2));
	receives_by(1);
}
END_TEST

/* Commands are for pairs whose queues the driver has not set up. */
START_TEST(queues_that_are_not_ready)
{
	fake_driver_negotiate(&net_guest, ALL);
	for (unsigned int i = 0; i < NET_QUEUES; i++)
		fake_driver_queue(&net_guest, i, NET_RING);
	fake_driver_queue(&net_guest, CONTROL, NET_RING);
	fake_driver_ok(&net_guest);
	for (uint16_t pairs = PAIRS; pairs > 0; pairs--) {
		ck_assert_uint_eq(sets_pairs(pairs), VIRTIO_NET_OK);
		for (unsigned int i = 1; i < PAIRS; i++) {
			ends[i].waiting = true;
			net_ready(&net, i);
			ck_assert(ends[i].waiting);
		}
	}
	ck_assert(sends_by(0));
	ck_assert(!net_needs_reset());
}
END_TEST

/* --- vhost ------------------------------------------------------------------------------------- */

static void lent_to_kernel(unsigned int pairs)
{
	ck_assert_uint_eq(lent, (1U << pairs) - 1);
	for (unsigned int i = 0; i < PAIRS; i++) {
		ck_assert_uint_eq(kernels[i].connected, i < pairs ? 3 : 0);
		for (unsigned int q = 0; q < NET_QUEUES; q++) {
			unsigned int queue = i * NET_QUEUES + q;
			ck_assert_int_eq(net.dev.queue[queue].lent, i < pairs);
			ck_assert_int_eq(net_guest.muted >> queue & 1, i < pairs);
			if (i < pairs)
				ck_assert_int_eq(kernels[i].kick[q], net_guest.doorbell[queue]);
		}
	}
}

static void served_by_kernel(unsigned int pairs)
{
	lent_to_kernel(pairs);
	ck_assert(!net_needs_reset());
}

START_TEST(vhost_of_each_pair)
{
	start(ALL);
	served_by_kernel(1);
	ck_assert_uint_eq(sets_pairs(3), VIRTIO_NET_OK);
	served_by_kernel(3);
	ck_assert_uint_eq(sets_pairs(2), VIRTIO_NET_OK);
	served_by_kernel(2);
	net_set_link(&net, false);
	fake_driver_work(&net_guest);
	served_by_kernel(0);
	net_set_link(&net, true);
	fake_driver_work(&net_guest);
	served_by_kernel(2);
	fake_driver_set(&net_guest, VIRTIO_MMIO_STATUS, 0);
	served_by_kernel(0);
	start(ALL);
	served_by_kernel(1);
}
END_TEST

/* One queue stops: its pair is ebb's, the others are the kernel's. */
START_TEST(vhost_of_a_stopped_queue)
{
	start(ALL);
	ck_assert_uint_eq(sets_pairs(3), VIRTIO_NET_OK);
	fake_driver_set(&net_guest, VIRTIO_MMIO_QUEUE_SEL, 2 * NET_QUEUES);
	fake_driver_set(&net_guest, VIRTIO_MMIO_QUEUE_READY, 0);
	fake_driver_work(&net_guest);
	served_by_kernel(2);
	ck_assert(sends_by(2));
}
END_TEST

/* A driver that breaks a rule, or gives up, stops all pairs: a pause and a link that is down find none with the kernel. */
START_TEST(vhost_of_a_stopped_device)
{
	const struct gpa_range nowhere[] = {{LOW_END, 4}, {ANSWER, 1}};
	const unsigned int bad[] = {CONTROL, 2 * NET_QUEUES + NET_TRANSMIT};

	start(ALL);
	ck_assert_uint_eq(sets_pairs(2), VIRTIO_NET_OK);
	served_by_kernel(2);
	net.next_command = 0;
	if (_i < COUNT(bad)) {
		fake_queue_add(&net_guest.queue[bad[_i]], nowhere, 2, 1);
		fake_driver_kick(&net_guest, bad[_i]);
		ck_assert(net_needs_reset());
	} else {
		fake_driver_set(&net_guest, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_FAILED);
	}
	lent_to_kernel(0);
	net_set_link(&net, false);
	net_set_link(&net, true);
	fake_driver_work(&net_guest);
	fake_driver_spurious(&net_guest);
	lent_to_kernel(0);
	fake_driver_set(&net_guest, VIRTIO_MMIO_STATUS, 0);
	start(ALL);
	served_by_kernel(1);
}
END_TEST

Suite *net_pairs_suite(void);
Suite *net_pairs_suite(void)
{
	Suite *suite = suite_create("net, pairs");
	TCase *tcase = tcase_create("pairs");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, uses_several);
	tcase_add_loop_test(tcase, command_in_pieces, 0, 5);
	tcase_add_test(tcase, reset_restores_one);
	tcase_add_test(tcase, leaves_a_pair_with_a_frame);
	tcase_add_test(tcase, driver_of_one_pair);
	tcase_add_test(tcase, held);
	tcase_add_test(tcase, host_that_refuses);
	tcase_add_loop_test(tcase, refuses, 0, COUNT(refused));
	tcase_add_loop_test(tcase, breaks_the_rules, 0, COUNT(broken));
	tcase_add_test(tcase, in_a_hurry);
	tcase_add_test(tcase, kicks_what_is_not_in_use);
	tcase_add_test(tcase, queues_that_are_not_ready);
	suite_add_tcase(suite, tcase);
	TCase *vhost = tcase_create("vhost");
	tcase_add_checked_fixture(vhost, setup_vhost, teardown);
	tcase_add_test(vhost, vhost_of_each_pair);
	tcase_add_test(vhost, vhost_of_a_stopped_queue);
	tcase_add_loop_test(vhost, vhost_of_a_stopped_device, 0, 3);
	suite_add_tcase(suite, vhost);
	return suite;
}
