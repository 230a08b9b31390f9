// SPDX-License-Identifier: Apache-2.0
/* What an attacker can send to each of the balloon's queues. Single lies are in each queue's tests. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "devices/virtio-balloon/queues.h"
#include "tests/unit/fake_balloon.h"

#define ALL    (V1 | TELL | STATS | REPORTING | RECLAIM)
#define QUEUES 5
#define NEXT   VRING_DESC_F_NEXT
#define IND    VRING_DESC_F_INDIRECT

static struct fake_queue *ring;
static uint16_t way; /* VRING_DESC_F_WRITE where the queue wants what the device writes to */

static void setup(void)
{
	balloon_plug(&(struct balloon_config){.free_page_reporting = true});
	balloon_start(ALL);
}

static void loop_to_itself(void)
{
	fake_queue_desc(ring, 0, AT(0), 4, way | NEXT, 0);
	fake_queue_publish(ring, 0);
}

static void loop_of_all(void)
{
	for (unsigned int i = 0; i < SIZE; i++)
		fake_queue_desc(ring, i, AT(i), 4, way | NEXT, (i + 1) % SIZE);
	fake_queue_publish(ring, 5);
}

static void loop_of_nothing(void)
{
	fake_queue_desc(ring, 0, 0, 0, way | NEXT, 1);
	fake_queue_desc(ring, 1, 0, 0, way | NEXT, 0);
	fake_queue_publish(ring, 0);
}

static void head_beyond_the_ring(void)
{
	fake_queue_publish(ring, SIZE);
}

static void next_beyond_the_ring(void)
{
	fake_queue_desc(ring, 0, AT(0), 4, way | NEXT, 0xffff);
	fake_queue_publish(ring, 0);
}

static void more_than_4_gib(void)
{
	fake_queue_desc(ring, 0, AT(0), 0xffffffff, way | NEXT, 1);
	fake_queue_desc(ring, 1, AT(0), 0xffffffff, way, 0);
	fake_queue_publish(ring, 0);
}

static void more_chains_than_fit(void)
{
	fake_queue_desc(ring, 0, AT(0), 4, way, 0);
	ring->avail->idx += SIZE + 1;
}

/* Tables are not offered; this one holds itself, too. */
static void a_table_of_itself(void)
{
	struct vring_desc *table = fake_driver_at(&guest, AT(0), sizeof(*table));
	*table = (struct vring_desc){AT(0), sizeof(*table), IND, 0};
	fake_queue_desc(ring, 0, AT(0), sizeof(*table), IND, 0);
	fake_queue_publish(ring, 0);
}

static void the_wrong_way(void)
{
	fake_queue_desc(ring, 0, AT(0), 40, way ^ VRING_DESC_F_WRITE, 0);
	fake_queue_publish(ring, 0);
}

static void both_ways(void)
{
	fake_queue_desc(ring, 0, AT(0), 40, NEXT, 1);
	fake_queue_desc(ring, 1, AT(1), 40, VRING_DESC_F_WRITE, 0);
	fake_queue_publish(ring, 0);
}

static const struct {
	const char *name;
	void (*make)(void);
} breaks[] = {
	{"loop to itself", loop_to_itself},
	{"loop of all", loop_of_all},
	{"loop of nothing", loop_of_nothing},
	{"head beyond the ring", head_beyond_the_ring},
	{"next beyond the ring", next_beyond_the_ring},
	{"more than 4 GiB", more_than_4_gib},
	{"more chains than fit", more_chains_than_fit},
	{"a table of itself", a_table_of_itself},
	{"the wrong way", the_wrong_way},
	{"both ways", both_ways},
};

/* The device stops, has done nothing, writes to no ring, and serves the next driver. */
START_TEST(broken_chains)
{
	const struct gpa_range buffer = {AT(0), K(1)};
	struct vring_used_elem element;

	for (unsigned int queue = 0; queue < QUEUES; queue++) {
		balloon_start(ALL);
		ring = &guest.queue[queue];
		way = balloon_role(ALL, queue) == BALLOON_REPORTING ? VRING_DESC_F_WRITE : 0;
		fill(AT(0), K(SIZE));
		breaks[_i].make();
		fake_driver_kick(&guest, queue);
		ck_assert_msg(needs_reset(), "%s, queue %u", breaks[_i].name, queue);
		ck_assert_uint_eq(hook.calls, 0);
		ck_assert(!fake_queue_used(ring, &element));
		/* Nor does anything that comes later. */
		balloon_stats_request(&balloon);
		fake_driver_kick(&guest, queue);
		ck_assert(!fake_queue_used(ring, &element));
	}
	balloon_start(ALL);
	ck_assert_uint_eq(serve_chain(3, &buffer, 1, 0), K(1));
	/* A line each for the first few, and no more. */
	ck_assert_uint_le(atomic_load(&guest.mmio.core.log.lines), LOG_LIMIT_LINES);
}
END_TEST

/* Reports of what is not the guest's to give: nothing of ours goes. */
static const struct gpa_range strange[] = {
	{LOW_END, BLOCK},    {0xd0000000, K(1)},
	{0xfee00000, K(1)},  {HIGH_END, 0xffffffff},
	{1ULL << 63, BLOCK}, {-K(1), K(2)},
	{-1ULL, 1},	     {-1ULL, 0xffffffff},
	{LOW_END - 1, 2},    {0, 0},
	{-1ULL, 0},
};

START_TEST(strange_reports)
{
	ck_assert_uint_eq(serve_chain(3, &strange[_i], 1, 0), 0);
	COUNTED(reporting, bytes, 0);
	ck_assert(!needs_reset());
}
END_TEST

/* Doorbells for queues that were never set up, and a device that has none at all. */
START_TEST(queues_never_set_up)
{
	for (unsigned int queues = 0; queues < QUEUES; queues++) {
		fake_driver_start(&guest, ALL, queues, SIZE);
		for (unsigned int i = 0; i < 8; i++)
			fake_driver_kick(&guest, i * 0x1fffffff);
		balloon_stats_request(&balloon);
		fake_driver_work(&guest);
		balloon_set_target(&balloon, queues * MIB);
		ck_assert(!needs_reset());
	}
	ck_assert_uint_eq(hook.calls, 0);
}
END_TEST

/* Features that change after they were agreed upon would change which queue is which. */
START_TEST(queues_keep_their_roles)
{
	struct vring_used_elem element;

	fake_driver_negotiate(&guest, V1 | STATS);
	fake_driver_set(&guest, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	fake_driver_set(&guest, VIRTIO_MMIO_DRIVER_FEATURES, REPORTING);
	for (unsigned int i = 0; i < 3; i++)
		fake_driver_queue(&guest, i, SIZE);
	fake_driver_ok(&guest);
	fake_driver_set(&guest, VIRTIO_MMIO_DRIVER_FEATURES, REPORTING);
	fill(AT(0), K(1));
	fake_queue_add(&guest.queue[2], &(struct gpa_range){AT(0), K(1)}, 1, 0);
	fake_driver_kick(&guest, 2);
	/* Still statistics, which no device writes. */
	ck_assert(needs_reset());
	ck_assert(!fake_queue_used(&guest.queue[2], &element));
	ck_assert(holds(AT(0), K(1), GUEST));
}
END_TEST

static uint32_t pick(unsigned int *seed)
{
	static const uint32_t values[] = {0,
					  1,
					  4,
					  10,
					  SIZE,
					  0xffff,
					  0xffffffff,
					  (uint32_t)RINGS_GPA,
					  (uint32_t)BLOCKS_GPA,
					  (uint32_t)LOW_END,
					  (uint32_t)HIGH_GPA,
					  0x80000000,
					  0xb,
					  0x7};
	uint32_t random = rand_r(seed);
	return random % 4 ? values[random / 4 % (sizeof(values) / sizeof(values[0]))] : random;
}

/* One chain at random, most of it possible. */
static void anything(struct fake_queue *queue, unsigned int *seed)
{
	struct gpa_range buffer[8];
	unsigned int n = 1 + rand_r(seed) % 8;

	for (unsigned int i = 0; i < n; i++) {
		buffer[i].gpa = rand_r(seed) % 8 ? BLOCKS_GPA + rand_r(seed) % (16 * MIB)
						 : (uint64_t)pick(seed) << rand_r(seed) % 33;
		buffer[i].len = rand_r(seed) % 8 ? rand_r(seed) % (4 * KIB) : pick(seed);
		/* A list of 4 GiB is well-formed and takes its time: not a thousand times. */
		buffer[i].len %= 64 * KIB;
	}
	fake_queue_add(queue, buffer, n, rand_r(seed) % 4 ? n : rand_r(seed) % (n + 1));
}

/* Rings, lists and registers at random: nothing may break on our side, and no call may be long. */
START_TEST(anything_at_any_time)
{
	unsigned int seed = 20260411 + _i;
	unsigned int stopped = 0;
	uint32_t *memory = fake_driver_at(&guest, BLOCKS_GPA, 16 * MIB);
	const struct balloon_reclaim_request request = {.timeout_ms = 1};

	atomic_store(&guest.mmio.core.log.lines, LOG_LIMIT_LINES); /* quiet */
	for (unsigned int i = 0; i < 4000; i++) {
		unsigned int queue = rand_r(&seed) % QUEUES;

		if (i == 0 || (needs_reset() && rand_r(&seed) % 2)) {
			uint64_t random = (uint64_t)rand_r(&seed) << 31 | rand_r(&seed);
			uint64_t features = V1 | (random & balloon.dev.features_offered);
			stopped += i > 0;
			balloon_start(features);
			memset(&guest.queue[balloon_queues(features)], 0, sizeof(guest.queue[0]));
		}
		switch (rand_r(&seed) % 8) {
		case 0:
			for (unsigned int j = 0; j < 1000; j++)
				memory[rand_r(&seed) % (4 * MIB)] = pick(&seed);
			break;
		case 1:
			balloon_stats_request(&balloon);
			break;
		case 2:
			fake_driver_set(&guest, 0x100 + rand_r(&seed) % 20, pick(&seed));
			break;
		case 3:
			balloon_set_target(&balloon, (uint64_t)pick(&seed) << rand_r(&seed) % 33);
			break;
		case 4:
			balloon_reclaim(&balloon, &request, i);
			ck_assert_uint_le(balloon_reclaim_view(&balloon, i + rand_r(&seed)).state,
					  BALLOON_RECLAIM_GONE);
			break;
		default:
			if (guest.queue[queue].size)
				anything(&guest.queue[queue], &seed);
			break;
		}
		fake_driver_kick(&guest, queue);
		struct balloon_view view = balloon_view(&balloon, 0);
		ck_assert_uint_le(view.actual, 160 * MIB);
		ck_assert_uint_le(view.target, 160 * MIB);
	}
	ck_assert_uint_gt(stopped, 20);
	ck_assert_uint_gt(atomic_load(&balloon.counters.balloon.inflated), 0);
}
END_TEST

Suite *balloon_hostile_suite(void);
Suite *balloon_hostile_suite(void)
{
	Suite *suite = suite_create("balloon, hostile");
	TCase *tcase = tcase_create("attacker");
	tcase_add_checked_fixture(tcase, setup, balloon_unplug);
	tcase_add_loop_test(tcase, broken_chains, 0, sizeof(breaks) / sizeof(breaks[0]));
	tcase_add_loop_test(tcase, strange_reports, 0, sizeof(strange) / sizeof(strange[0]));
	tcase_add_test(tcase, queues_never_set_up);
	tcase_add_test(tcase, queues_keep_their_roles);
	tcase_add_loop_test(tcase, anything_at_any_time, 0, 4);
	suite_add_tcase(suite, tcase);
	return suite;
}
