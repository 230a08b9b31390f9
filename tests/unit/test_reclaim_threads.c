// SPDX-License-Identifier: Apache-2.0
/* Many who ask at once, a worker, and a guest that answers: test_reclaim.c has what each may do alone. */
#include <check.h>
#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "tests/unit/fake_balloon.h"

#define RECLAIM_Q 3 /* without statistics */
#define ANSWER	  AT(0)
#define ASKED	  AT(1)
#define ASKERS	  3
#define EACH	  200

static atomic_bool done;
static atomic_uint told;

static void reclaimed(void *ctx)
{
	(void)ctx;
	atomic_fetch_add(&told, 1);
}

static void setup(void)
{
	balloon_plug(&(struct balloon_config){.free_page_reporting = true});
	balloon_on_reclaimed(&balloon, reclaimed, NULL);
	balloon_start(V1 | REPORTING | RECLAIM);
}

static void *worker(void *unused)
{
	(void)unused;
	while (!atomic_load(&done))
		if (!fake_driver_turn(&guest))
			sched_yield();
	return NULL;
}

/* A guest that answers at once. */
static void *driver(void *unused)
{
	static const struct gpa_range chain[] = {{ANSWER, 56}, {ASKED, 24}};
	struct reclaim_response *response = fake_driver_at(&guest, ANSWER, 56);
	struct fake_queue *ring = &guest.queue[RECLAIM_Q];
	struct vring_used_elem element;
	(void)unused;

	fake_queue_add(ring, chain, 2, 1);
	fake_driver_set(&guest, VIRTIO_MMIO_QUEUE_NOTIFY, RECLAIM_Q);
	while (!atomic_load(&done)) {
		if (!fake_queue_used(ring, &element)) {
			sched_yield();
			continue;
		}
		response->id = *(uint32_t *)fake_driver_at(&guest, ASKED, 4);
		response->reported = htole64(K(1));
		fake_queue_add(ring, chain, 2, 1);
		fake_driver_set(&guest, VIRTIO_MMIO_QUEUE_NOTIFY, RECLAIM_Q);
	}
	return NULL;
}

static void *asker(void *unused)
{
	const struct balloon_reclaim_request request = {.timeout_ms = 60000};
	(void)unused;

	for (unsigned int taken_on = 0; taken_on < EACH;) {
		int error = balloon_reclaim(&balloon, &request, 0);
		if (error && error != -EBUSY)
			return "refused";
		taken_on += !error;
		struct balloon_reclaim_view view = balloon_reclaim_view(&balloon, 0);
		if (view.state == BALLOON_RECLAIM_DONE && view.answer.reported != K(1))
			return "an answer is torn";
		sched_yield();
	}
	return NULL;
}

START_TEST(many_askers)
{
	pthread_t working, driving, asking[ASKERS];
	void *wrong;

	atomic_store(&done, false);
	memset(fake_driver_at(&guest, ANSWER, 56), 0, 56);
	ck_assert_int_eq(pthread_create(&working, NULL, worker, NULL), 0);
	ck_assert_int_eq(pthread_create(&driving, NULL, driver, NULL), 0);
	for (unsigned int i = 0; i < ASKERS; i++)
		ck_assert_int_eq(pthread_create(&asking[i], NULL, asker, NULL), 0);
	for (unsigned int i = 0; i < ASKERS; i++) {
		pthread_join(asking[i], &wrong);
		ck_assert_msg(!wrong, "%s", (char *)wrong);
	}
	while (balloon_reclaim_view(&balloon, 0).state == BALLOON_RECLAIM_ASKED)
		sched_yield();
	atomic_store(&done, true);
	pthread_join(working, NULL);
	pthread_join(driving, NULL);
	ck_assert(!needs_reset());
	COUNTED(reclaim, requests, ASKERS * EACH);
	COUNTED(reclaim, answered, ASKERS * EACH);
	ck_assert_uint_eq(atomic_load(&told), ASKERS * EACH);
}
END_TEST

Suite *reclaim_threads_suite(void);
Suite *reclaim_threads_suite(void)
{
	Suite *suite = suite_create("reclaim, threads");
	TCase *tcase = tcase_create("threads");
	tcase_add_checked_fixture(tcase, setup, balloon_unplug);
	tcase_add_test(tcase, many_askers);
	suite_add_tcase(suite, tcase);
	return suite;
}
