// SPDX-License-Identifier: Apache-2.0
/* Event indices: notifications and interrupts that nobody needs are left out, and none that somebody needs. */
#include <check.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/unit/toy.h"

#define BURST 12 /* chains, of a ring of SIZE */
#define LONG  (3 * 65536 / BURST)
#define WAIT  20 /* seconds after which a lost notification is told */

static bool event_idx; /* was negotiated */

static struct fake_queue *ring(void)
{
	return &driver.queue[0];
}

/* --- a driver as Linux's: it leaves out what the device does not ask for ---------------------- */

static uint16_t avail_event(void)
{
	return __atomic_load_n((uint16_t *)&ring()->used->ring[SIZE], __ATOMIC_SEQ_CST);
}

/* As Linux's driver, whose barrier stands between this and its next look at the ring. */
static void set_used_event(uint16_t idx)
{
	__atomic_exchange_n(&ring()->avail->ring[SIZE], idx, __ATOMIC_SEQ_CST);
}

/* Notifies the device of the chains from @old on, if it has to. Returns whether it did. */
static bool notify(uint16_t old)
{
	/* The index is there before the event is read: ThreadSanitizer knows no fences. */
	uint16_t idx = ring()->avail->idx;
	__atomic_exchange_n(&ring()->avail->idx, idx, __ATOMIC_SEQ_CST);
	if (event_idx && !vring_need_event(avail_event(), idx, old))
		return false;
	toy_set(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	return true;
}

static bool add(void)
{
	uint16_t old = ring()->avail->idx;
	chain_add(0);
	return notify(old);
}

static void start(bool with)
{
	event_idx = with;
	fake_driver_start(&driver, V1 | IND | (with ? EVENT : 0), 1, SIZE);
}

/* --- what it saves ---------------------------------------------------------------------------- */

/* Adds a burst before the device looks, as a vCPU does that is faster than the worker. Returns the notifications. */
static unsigned int burst(void)
{
	unsigned int notifications = 0;
	for (unsigned int i = 0; i < BURST; i++)
		notifications += add();
	fake_driver_work(&driver);
	return notifications;
}

START_TEST(a_burst_is_one_notification)
{
	start(true);
	for (unsigned int i = 0; i < LONG; i++)
		if (burst() != 1 || chains_done(0) != BURST)
			ck_abort_msg("burst %u", i);
}
END_TEST

START_TEST(without_it_each_chain_is_one)
{
	start(false);
	ck_assert_uint_eq(burst(), BURST);
	ck_assert_uint_eq(chains_done(0), BURST);
}
END_TEST

/* While the device is at it, it is not notified of more, but when the indices have gone once round. */
START_TEST(a_busy_device_is_not_notified)
{
	unsigned int notifications = 0;

	start(true);
	ck_assert(add());
	ck_assert(!add());
	for (unsigned int i = 0; i < 3 * 65536; i++) {
		fake_driver_turn(&driver); /* serves one of the two */
		if (chains_done(0) != 1)
			ck_abort_msg("chain %u", i);
		notifications += add();
	}
	ck_assert_uint_le(notifications, 3);
	fake_driver_work(&driver);
	ck_assert_uint_eq(chains_done(0), 2);
	ck_assert(add());
}
END_TEST

/* The driver asks for one interrupt, at the last of a burst. */
START_TEST(a_burst_is_one_interrupt)
{
	start(true);
	for (unsigned int i = 0; i < LONG; i++) {
		unsigned int before = driver.interrupts;
		set_used_event(ring()->used->idx + BURST - 1);
		burst();
		if (driver.interrupts != before + 1 || chains_done(0) != BURST)
			ck_abort_msg("burst %u", i);
	}
}
END_TEST

START_TEST(without_it_each_turn_is_one)
{
	start(false);
	unsigned int before = driver.interrupts;
	set_used_event(ring()->used->idx + BURST - 1);
	burst();
	ck_assert_uint_eq(driver.interrupts, before + BURST);
}
END_TEST

/* --- the bounds of what is asked for ---------------------------------------------------------- */

/* Every place of the index that the driver names, against every place of the device's, by the plain words. */
START_TEST(an_interrupt_comes_when_the_index_is_passed)
{
	const uint16_t old = (uint16_t)(65536 - 4 + _i);

	for (unsigned int pushed = 0; pushed <= SIZE; pushed++) {
		for (unsigned int event = 0; event < 65536; event++) {
			struct virtq *q = &toy.dev.queue[0];
			start(true);
			q->signalled = old;
			q->next_used = old + pushed;
			set_used_event(event);
			bool passed = false;
			for (uint16_t idx = old; idx != q->next_used; idx++)
				passed = passed || idx == event;
			if (virtq_should_interrupt(q) != passed)
				ck_abort_msg("%u pushed from %u, event %u", pushed, old, event);
			if (event == SIZE + 8)
				event = 65536 - 16;
		}
	}
}
END_TEST

/* A device that has not been notified finds what came while it turned away. */
static unsigned int late;

static void add_late(unsigned int queue)
{
	if (late == 0)
		return;
	late--;
	/* Never notified: the device asked for that only after it looked. */
	chain_add(queue);
}

START_TEST(what_comes_meanwhile_is_found)
{
	start(true);
	toy.idle = add_late;
	late = 5;
	ck_assert(add());
	fake_driver_work(&driver);
	ck_assert_uint_eq(late, 0);
	ck_assert_uint_eq(chains_done(0), 6);
	ck_assert(add()); /* and then it asks to be notified */
}
END_TEST

/* A device that leaves chains in the ring is not called for them again and again. */
START_TEST(what_the_device_leaves_is_left)
{
	struct virtq *q = &toy.dev.queue[0];
	start(true);
	chain_add(0);
	chain_add(0);
	ck_assert(virtq_rearm(q));
	ck_assert(!virtq_rearm(q));
	ck_assert(add());
	ck_assert(virtq_rearm(q));
	ck_assert(!virtq_rearm(q));
}
END_TEST

START_TEST(a_reset_begins_anew)
{
	start(true);
	for (unsigned int i = 0; i < 5; i++)
		burst();
	ck_assert_uint_eq(avail_event(), 5 * BURST);
	start(false);
	ck_assert_uint_eq(burst(), BURST);
	ck_assert_uint_eq(avail_event(), 0); /* the old driver's word is not the new one's */
	start(true);
	ck_assert_uint_eq(burst(), 1);
	ck_assert_uint_eq(avail_event(), BURST);
}
END_TEST

/* The flag is the other way to say so, for those that have not negotiated this one. */
START_TEST(the_flag_means_nothing_with_it)
{
	start(true);
	unsigned int before = driver.interrupts;
	ring()->avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	set_used_event(ring()->used->idx);
	add();
	fake_driver_work(&driver);
	ck_assert_uint_eq(driver.interrupts, before + 1);
	/* The control. */
	start(false);
	before = driver.interrupts;
	ring()->avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	add();
	fake_driver_work(&driver);
	ck_assert_uint_eq(driver.interrupts, before);
}
END_TEST

/* Of the used ring's flags a driver with event indices ignores one, and the others have no meaning: none is set. */
START_TEST(the_device_sets_no_flag)
{
	start(_i);
	for (unsigned int i = 0; i < 100; i++) {
		burst();
		ck_assert_uint_eq(ring()->used->flags, 0);
		ck_assert_uint_eq(chains_done(0), BURST);
	}
}
END_TEST

START_TEST(a_notification_of_nothing)
{
	start(_i);
	burst();
	ck_assert_uint_eq(chains_done(0), BURST);
	unsigned int before = driver.interrupts;
	uint16_t used = ring()->used->idx;
	for (unsigned int i = 0; i < 100; i++) {
		toy_set(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
		fake_driver_work(&driver);
	}
	ck_assert_uint_eq(ring()->used->idx, used);
	ck_assert_uint_eq(driver.interrupts, before);
	burst();
	ck_assert_uint_eq(chains_done(0), BURST);
}
END_TEST

/* --- hostile ---------------------------------------------------------------------------------- */

/* The indices are all over the place: the device goes on or is stopped, and each call ends. */
START_TEST(any_index_is_harmless)
{
	srandom(_i + 1);
	for (unsigned int round = 0; round < 200; round++) {
		start(true);
		for (unsigned int i = 0; i < 100; i++) {
			set_used_event(random());
			*(volatile uint16_t *)&ring()->used->ring[SIZE] = random();
			if (random() % 8 == 0)
				ring()->avail->idx += random() % 4 ? 1 : random();
			else if ((uint16_t)(ring()->avail->idx - ring()->used->idx) < SIZE)
				chain_add(0);
			toy_set(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
			fake_driver_work(&driver);
		}
	}
	/* And then as if nothing had been. */
	start(true);
	ck_assert_uint_eq(burst(), 1);
	ck_assert_uint_eq(chains_done(0), BURST);
}
END_TEST

/* --- two threads: no notification and no interrupt is lost ------------------------------------ */

static atomic_bool done;

static void *worker(void *unused)
{
	(void)unused;
	while (!atomic_load(&done))
		if (!fake_driver_turn(&driver))
			sched_yield();
	return NULL;
}

/* Waits for an interrupt after @before. Returns false if none comes. */
static bool interrupted(unsigned int before)
{
	time_t end = time(NULL) + WAIT;
	while (atomic_load(&driver.interrupts) == before) {
		if (time(NULL) > end)
			return false;
		sched_yield();
	}
	return true;
}

/* As Linux's driver: asks for the next interrupt, looks once more, and only then waits. */
static bool take_one(void)
{
	struct vring_used_elem element;
	for (;;) {
		if (fake_queue_used(ring(), &element))
			return true;
		unsigned int before = atomic_load(&driver.interrupts);
		set_used_event(ring()->used_seen);
		if (fake_queue_used(ring(), &element))
			return true;
		if (!interrupted(before))
			return false;
	}
}

START_TEST(nothing_is_lost_between_threads)
{
	pthread_t working;
	unsigned int notifications = 0;
	const char *wrong = NULL;

	start(true);
	atomic_store(&done, false);
	ck_assert_int_eq(pthread_create(&working, NULL, worker, NULL), 0);
	for (unsigned int i = 0; i < 30000 && !wrong; i++) {
		unsigned int n = 1 + i % 3;
		for (unsigned int k = 0; k < n; k++)
			notifications += add();
		for (unsigned int k = 0; k < n && !wrong; k++)
			if (!take_one())
				wrong = "a chain did not come back";
	}
	atomic_store(&done, true);
	pthread_join(working, NULL);
	ck_assert_msg(!wrong, "%s", wrong);
	ck_assert_uint_gt(notifications, 0);
}
END_TEST

Suite *event_idx_suite(void);
Suite *event_idx_suite(void)
{
	Suite *suite = suite_create("event indices");
	TCase *tcase = tcase_create("event indices");
	tcase_add_checked_fixture(tcase, toy_setup, toy_teardown);
	tcase_add_test(tcase, a_burst_is_one_notification);
	tcase_add_test(tcase, without_it_each_chain_is_one);
	tcase_add_test(tcase, a_busy_device_is_not_notified);
	tcase_add_test(tcase, a_burst_is_one_interrupt);
	tcase_add_test(tcase, without_it_each_turn_is_one);
	tcase_add_loop_test(tcase, an_interrupt_comes_when_the_index_is_passed, 0, 8);
	tcase_add_test(tcase, what_comes_meanwhile_is_found);
	tcase_add_test(tcase, what_the_device_leaves_is_left);
	tcase_add_test(tcase, a_reset_begins_anew);
	tcase_add_test(tcase, the_flag_means_nothing_with_it);
	tcase_add_loop_test(tcase, the_device_sets_no_flag, 0, 2);
	tcase_add_loop_test(tcase, a_notification_of_nothing, 0, 2);
	tcase_add_loop_test(tcase, any_index_is_harmless, 0, 4);
	tcase_add_test(tcase, nothing_is_lost_between_threads);
	suite_add_tcase(suite, tcase);
	return suite;
}
