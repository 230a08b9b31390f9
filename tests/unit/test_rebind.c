// SPDX-License-Identifier: Apache-2.0
/* A driver that comes and goes, with other features each time, while everything else goes on. */
#include <check.h>
#include <endian.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "devices/virtio-balloon/queues.h"
#include "tests/unit/fake_balloon.h"

#define TURNS  1000
#define LIST   (100 * MIB) /* page numbers, written once */
#define NUMBER 1300	   /* of them: three windows */
#define TELLS  (101 * MIB) /* statistics, written once */
#define ANSWER (102 * MIB) /* zeros: the first chain of a reclaim queue answers nothing */
#define ASKS   (103 * MIB) /* where its request goes */

static atomic_bool done;
static atomic_uint told;

static void changed(void *ctx)
{
	(void)ctx;
	atomic_fetch_add(&told, 1);
}

static void setup(void)
{
	const struct balloon_config config = {.free_page_reporting = true, .deflate_on_oom = true};

	atomic_store(&done, false);
	balloon_plug(&config);
	balloon_on_changed(&balloon, changed, NULL);
	uint32_t *list = fake_driver_at(&guest, LIST, 4 * NUMBER);
	for (unsigned int i = 0; i < NUMBER; i++)
		list[i] = htole32(AT(i) / K(1));
	/* One entry: tag 5, of which the value's bytes are all the same. */
	uint8_t *tells = fake_driver_at(&guest, TELLS, 10);
	memset(tells, 0x77, 10);
	tells[0] = 5;
	tells[1] = 0;
}

static void *worker(void *unused)
{
	(void)unused;
	while (!atomic_load(&done))
		if (!fake_driver_turn(&guest))
			sched_yield();
	return NULL;
}

/* Whoever manages the guest: asks and sets, from a thread of its state. */
static void *manager(void *unused)
{
	const struct balloon_reclaim_request request = {.cache = BALLOON_RECLAIM_ALL};
	struct balloon_stats stats;
	(void)unused;

	for (uint64_t i = 0; !atomic_load(&done); i++) {
		uint64_t set = balloon_set_target(&balloon, i % 200 * MIB);
		struct balloon_view view = balloon_view(&balloon, 0);
		if (set > 160 * MIB || view.target != set || view.actual > 160 * MIB)
			return "the target is not what was set";
		balloon_reclaim(&balloon, &request, 0);
		if (balloon_reclaim_view(&balloon, 0).answer.reported)
			return "an answer that nobody gave";
		balloon_stats_request(&balloon);
		balloon_stats_get(&balloon, &stats);
		if (stats.present[5] ? stats.value[5] != 0x7777777777777777 : stats.value[5] != 0)
			return "statistics are torn";
		sched_yield();
	}
	return NULL;
}

/* A second vCPU of the guest, which reads and writes the configuration space whatever the first does. */
static void *onlooker(void *unused)
{
	unsigned int seed = 7;
	(void)unused;

	while (!atomic_load(&done)) {
		uint64_t offset = VIRTIO_MMIO_CONFIG + rand_r(&seed) % 20;
		uint64_t data = rand_r(&seed);
		if (rand_r(&seed) % 2)
			virtio_mmio_read(&guest.mmio, offset, &data, 8);
		else
			virtio_mmio_write(&guest.mmio, offset, &data, 8);
		fake_driver_get(&guest, VIRTIO_MMIO_CONFIG_GENERATION);
		sched_yield();
	}
	return NULL;
}

/* What a driver has to say to a queue with that role. */
static void speak(unsigned int queue, enum balloon_role role)
{
	static const struct gpa_range list = {LIST, 4 * NUMBER};
	static const struct gpa_range tells = {TELLS, 10};
	static const struct gpa_range ask[] = {{ANSWER, 56}, {ASKS, 24}};
	static const struct gpa_range block[] = {{HIGH_GPA, BLOCK}, {HIGH_GPA + 2 * BLOCK, BLOCK}};
	struct fake_queue *ring = &guest.queue[queue];

	switch (role) {
	case BALLOON_STATS:
		fake_queue_add(ring, &tells, 1, 1);
		break;
	case BALLOON_REPORTING:
		fake_queue_add(ring, block, 2, 0);
		break;
	case BALLOON_RECLAIM:
		fake_queue_add(ring, ask, 2, 1);
		break;
	default:
		fake_queue_add(ring, &list, 1, 1);
		break;
	}
	fake_driver_set(&guest, VIRTIO_MMIO_QUEUE_NOTIFY, queue);
}

/* Until a chain came back, 30 s at most. */
static bool comes_back(unsigned int queue)
{
	struct vring_used_elem element;
	time_t limit = time(NULL) + 30;

	while (!fake_queue_used(&guest.queue[queue], &element)) {
		if (time(NULL) > limit)
			return false;
		sched_yield();
	}
	return true;
}

/* One life of a driver; returns what was wrong, or NULL. */
static const char *live(uint64_t features, bool patient)
{
	unsigned int queues = balloon_queues(features);

	fake_driver_start(&guest, features, queues, SIZE);
	for (unsigned int i = 0; i < queues; i++)
		speak(i, balloon_role(features, i));
	fake_driver_set(&guest, VIRTIO_MMIO_CONFIG + 4, features % 1000);
	/* A statistics buffer comes back too, and a request: somebody asks for them all the time. */
	for (unsigned int i = 0; patient && i < queues; i++)
		if (!comes_back(i))
			return "a chain did not come back";
	if (needs_reset())
		return "the device stopped";
	fake_driver_set(&guest, VIRTIO_MMIO_STATUS, 0);
	/* From here on its rings are the driver's state. */
	for (unsigned int i = 0; i < queues; i++)
		memset(guest.queue[i].used, 0xee, 256);
	sched_yield();
	for (unsigned int i = 0; i < queues; i++)
		for (unsigned int j = 0; j < 256; j++)
			if (((uint8_t *)guest.queue[i].used)[j] != 0xee)
				return "written to after a reset";
	return NULL;
}

static void *vcpu(void *unused)
{
	unsigned int seed = 11;
	(void)unused;

	for (unsigned int i = 0; i < TURNS; i++) {
		uint64_t random = (uint64_t)rand_r(&seed) << 31 | rand_r(&seed);
		const char *wrong =
			live(V1 | (random & balloon.dev.features_offered), random >> 61 & 1);
		if (wrong)
			return (void *)wrong;
	}
	return NULL;
}

START_TEST(a_thousand_drivers)
{
	pthread_t working, managing, looking, running;
	void *wrong, *wrong_too;

	ck_assert_int_eq(pthread_create(&working, NULL, worker, NULL), 0);
	ck_assert_int_eq(pthread_create(&managing, NULL, manager, NULL), 0);
	ck_assert_int_eq(pthread_create(&looking, NULL, onlooker, NULL), 0);
	ck_assert_int_eq(pthread_create(&running, NULL, vcpu, NULL), 0);
	pthread_join(running, &wrong);
	atomic_store(&done, true);
	pthread_join(managing, &wrong_too);
	pthread_join(working, NULL);
	pthread_join(looking, NULL);
	ck_assert_msg(!wrong, "%s", (char *)wrong);
	ck_assert_msg(!wrong_too, "%s", (char *)wrong_too);

	struct balloon_stats stats;
	balloon_stats_get(&balloon, &stats);
	ck_assert_uint_gt(stats.updates, TURNS / 10);
	ck_assert_uint_gt(atomic_load(&balloon.counters.balloon.inflated), TURNS * 100);
	ck_assert_uint_gt(atomic_load(&balloon.counters.balloon.deflated), TURNS * 100);
	ck_assert_uint_gt(atomic_load(&balloon.counters.reporting.reports), TURNS / 10);
	ck_assert_uint_gt(atomic_load(&balloon.counters.reclaim.requests), TURNS / 10);
	COUNTED(reclaim, answered, 0);
	COUNTED(balloon, failures, 0);
	COUNTED(reporting, failures, 0);
	ck_assert_uint_gt(atomic_load(&told), TURNS / 2);
}
END_TEST

Suite *rebind_suite(void);
Suite *rebind_suite(void)
{
	Suite *suite = suite_create("drivers that come and go");
	TCase *tcase = tcase_create("rebind");
	tcase_add_checked_fixture(tcase, setup, balloon_unplug);
	tcase_add_test(tcase, a_thousand_drivers);
	suite_add_tcase(suite, tcase);
	return suite;
}
