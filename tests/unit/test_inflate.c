// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "tests/unit/fake_balloon.h"

#define LIST	 (100 * MIB) /* where page numbers are written */
#define PFN(gpa) ((uint32_t)((gpa) / K(1)))
#define WINDOW	 512 /* page numbers that the device takes in one call */

static struct vring_used_elem element;

static void setup(void)
{
	balloon_plug(&(struct balloon_config){0});
	balloon_start(V1 | TELL);
}

/* Has @n numbers written to where they are read. */
static uint32_t *list(const uint32_t *pfn, unsigned int n)
{
	uint32_t *at = fake_driver_at(&guest, LIST, 4 * (n ? n : 1));
	for (unsigned int i = 0; i < n; i++)
		at[i] = htole32(pfn[i]);
	return at;
}

/* One chain with one buffer. Its used length is 0 whatever became of it. */
static void move(unsigned int queue, const uint32_t *pfn, unsigned int n)
{
	list(pfn, n);
	ck_assert_uint_eq(serve_chain(queue, &(struct gpa_range){LIST, 4 * n}, 1, 1), 0);
}

/* --- as a driver would ----------------------------------------------------------------------- */

/* As Linux does it: 256 at a time, here from the top down and with a hole every eight. */
START_TEST(inflated_pages_are_gone)
{
	uint32_t pfn[256];

	fill(AT(0), K(300));
	for (unsigned int i = 0; i < 256; i++)
		pfn[i] = PFN(AT(255 - i + (255 - i) / 8));
	move(INFLATE_Q, pfn, 256);
	ck_assert_uint_eq(hook.calls, 1);
	ck_assert_uint_eq(hook.ranges, 32);
	for (unsigned int i = 0; i < 32; i++) {
		ck_assert(!resident(AT(9 * i)));
		ck_assert(!resident(AT(9 * i + 7)));
		ck_assert(holds(AT(9 * i + 8), K(1), GUEST));
	}
	for (unsigned int i = 0; i < 32; i++)
		ck_assert(holds(AT(9 * i), K(8), 0));
	ck_assert_uint_eq(atomic_load(&guest.interrupts), 1);
	COUNTED(balloon, inflated, 256);
	COUNTED(balloon, bytes, K(256));
	COUNTED(balloon, ranges, 32);
	COUNTED(balloon, failures, 0);
	COUNTED(reporting, reports, 0);
}
END_TEST

START_TEST(deflating_touches_nothing)
{
	const uint32_t pfn[] = {PFN(AT(0)), PFN(AT(1))};

	fill(AT(0), K(2));
	move(DEFLATE_Q, pfn, 2);
	ck_assert_uint_eq(hook.calls, 0);
	ck_assert(holds(AT(0), K(2), GUEST));
	COUNTED(balloon, deflated, 2);
	COUNTED(balloon, inflated, 0);
}
END_TEST

START_TEST(in_and_out_and_in)
{
	const uint32_t pfn[] = {PFN(AT(0)), PFN(AT(1))};

	for (unsigned int i = 0; i < 1000; i++) {
		fill(AT(0), K(2));
		move(INFLATE_Q, pfn, 2);
		ck_assert(holds(AT(0), K(2), 0));
		move(DEFLATE_Q, pfn, 2);
	}
	COUNTED(balloon, inflated, 2000);
	COUNTED(balloon, deflated, 2000);
	COUNTED(balloon, bytes, K(2000));
}
END_TEST

/* A number may be cut in two: the buffers are one stream (virtio 1.2 §2.7.4). */
START_TEST(buffers_mean_nothing)
{
	const uint32_t pfn[] = {PFN(AT(0)), PFN(AT(2)), PFN(AT(1))};
	const struct gpa_range buffer[] = {{LIST, 1}, {LIST + 1, 0}, {LIST + 1, 5}, {LIST + 6, 6}};

	fill(AT(0), K(4));
	list(pfn, 3);
	ck_assert_uint_eq(serve_chain(INFLATE_Q, buffer, 4, 4), 0);
	ck_assert_uint_eq(hook.ranges, 1);
	ck_assert(holds(AT(0), K(3), 0));
	ck_assert(holds(AT(3), K(1), GUEST));
}
END_TEST

/* --- pages of the backing that are larger ----------------------------------------------------- */

static struct balloon large;

/* 64 KiB to a page: of what is in RAM, only whole ones are discarded. */
START_TEST(large_pages_go_whole)
{
	uint32_t pfn[16];

	balloon_unplug();
	fake_driver_init(&guest);
	guest.ram.page_size = 64 * KIB;
	struct virtio_host host = guest.host;
	ck_assert_int_eq(balloon_init(&large, &(struct balloon_config){0}, &host), 0);
	fake_driver_plug(&guest, &large.dev);
	balloon_start(V1);
	fill(AT(0), 128 * KIB);
	for (unsigned int i = 0; i < 16; i++)
		pfn[i] = PFN(AT(i));
	move(INFLATE_Q, pfn, 15);
	ck_assert_uint_eq(guest.discards, 0);
	move(INFLATE_Q, pfn + 15, 1);
	ck_assert_uint_eq(guest.discards, 1);
	ck_assert(holds(AT(0), 64 * KIB, 0));
	ck_assert(holds(AT(16), 64 * KIB, GUEST));
	move(INFLATE_Q, pfn, 16);
	ck_assert_uint_eq(guest.discards, 1);
	/* Out, used, and in again. */
	move(DEFLATE_Q, pfn, 1);
	fill(AT(0), K(1));
	move(INFLATE_Q, pfn, 1);
	ck_assert_uint_eq(guest.discards, 2);
	ck_assert(holds(AT(0), 64 * KIB, 0));
	/* A reset empties the balloon: the one part that is missing now makes nothing whole. */
	move(DEFLATE_Q, pfn, 1);
	balloon_start(V1);
	move(INFLATE_Q, pfn, 1);
	ck_assert_uint_eq(guest.discards, 2);
	ck_assert_uint_eq(atomic_load(&large.counters.balloon.bytes), 128 * KIB);
	fake_driver_release(&guest);
	balloon_release(&large);
	setup(); /* for the fixture to take down */
}
END_TEST

/* --- discards that do not happen -------------------------------------------------------------- */

START_TEST(held_back_is_no_failure)
{
	const uint32_t pfn[] = {PFN(AT(0)), PFN(AT(2))};

	hook.inhibit = true;
	move(INFLATE_Q, pfn, 2);
	COUNTED(balloon, inflated, 2);
	COUNTED(balloon, held_back, K(2));
	COUNTED(balloon, bytes, 0);
	COUNTED(balloon, failures, 0);
	ck_assert(!balloon.refusal_logged);
}
END_TEST

START_TEST(refused_is_a_failure)
{
	const uint32_t pfn[] = {PFN(AT(0)), PFN(AT(2))};

	hook.refuse = 1;
	move(INFLATE_Q, pfn, 2);
	COUNTED(balloon, bytes, K(1));
	COUNTED(balloon, failures, 1);
	ck_assert(balloon.refusal_logged);
}
END_TEST

/* --- as an attacker would --------------------------------------------------------------------- */

static const struct {
	const char *name;
	unsigned int n;
	uint32_t pfn[4];
	unsigned int moved, failures;
} strangers[] = {
	{"none", 0, {0}, 0, 0},
	{"the highest number", 1, {0xffffffff}, 0, 1},
	{"the hole", 2, {PFN(LOW_END), PFN(HIGH_GPA - 1)}, 0, 2},
	{"past the end", 2, {PFN(HIGH_END), PFN(HIGH_END - 1)}, 1, 1},
	{"the last of a region", 2, {PFN(LOW_END - 1), PFN(LOW_END)}, 1, 1},
	{"devices", 2, {0xd0000, 0xfee00}, 0, 2},
	{"the same for ever", 4, {PFN(AT(0)), PFN(AT(0)), PFN(AT(0)), PFN(AT(0))}, 1, 0},
	{"a sign", 2, {0x80000000 | PFN(AT(0)), PFN(AT(0))}, 1, 1},
};

START_TEST(pages_that_are_not_ram)
{
	const char *name = strangers[_i].name;

	for (unsigned int queue = INFLATE_Q; queue <= DEFLATE_Q; queue++)
		move(queue, strangers[_i].pfn, strangers[_i].n);
	const struct balloon_counters *counters = &balloon.counters;
	ck_assert_msg(atomic_load(&counters->balloon.inflated) == strangers[_i].moved, "%s", name);
	ck_assert_msg(atomic_load(&counters->balloon.deflated) == strangers[_i].moved, "%s", name);
	ck_assert_msg(atomic_load(&counters->balloon.bytes) == K(strangers[_i].moved), "%s", name);
	ck_assert_msg(atomic_load(&counters->balloon.failures) == 2 * strangers[_i].failures, "%s",
		      name);
	ck_assert(!needs_reset());
}
END_TEST

/* Lists that are not what they should be. */
static const struct {
	const char *name;
	unsigned int n, readable;
	struct gpa_range buffer[3];
	bool broken;
	unsigned int moved, failures;
} lists[] = {
	{"a well-formed one", 1, 1, {{LIST, 8}}, false, 2, 0},
	{"empty", 1, 1, {{LIST, 0}}, false, 0, 0},
	{"empty, nowhere", 1, 1, {{-1ULL, 0}}, false, 0, 0},
	{"a byte", 1, 1, {{LIST, 1}}, false, 0, 1},
	{"a byte too many", 1, 1, {{LIST, 5}}, false, 1, 1},
	{"a byte too few", 1, 1, {{LIST, 7}}, false, 1, 1},
	{"writable", 1, 0, {{LIST, 8}}, true, 0, 0},
	{"writable behind it", 2, 1, {{LIST, 8}, {LIST, 8}}, true, 0, 0},
	{"writable and empty behind it", 2, 1, {{LIST, 8}, {LIST, 0}}, true, 0, 0},
	{"in the hole", 1, 1, {{LOW_END, 8}}, true, 0, 0},
	{"into the hole", 1, 1, {{LOW_END - 4, 8}}, true, 0, 0},
	{"partly in the hole", 2, 2, {{LIST, 8}, {LOW_END, 8}}, true, 0, 0},
	{"wraps", 1, 1, {{-8ULL, 16}}, true, 0, 0},
	{"wraps, far", 1, 1, {{-4096ULL, 0xffffffff}}, true, 0, 0},
};

START_TEST(lists_that_lie)
{
	const uint32_t pfn[] = {PFN(AT(0)), PFN(AT(1))};
	const char *name = lists[_i].name;

	for (unsigned int queue = INFLATE_Q; queue <= DEFLATE_Q; queue++) {
		balloon_start(V1);
		fill(AT(0), K(2));
		list(pfn, 2);
		fake_queue_add(&guest.queue[queue], lists[_i].buffer, lists[_i].n,
			       lists[_i].readable);
		fake_driver_kick(&guest, queue);
		ck_assert_msg(needs_reset() == lists[_i].broken, "%s: broken", name);
		ck_assert_msg(fake_queue_used(&guest.queue[queue], &element) != lists[_i].broken,
			      "%s: used", name);
		ck_assert_msg(atomic_load(&balloon.counters.balloon.failures) ==
				      (queue + 1) * lists[_i].failures,
			      "%s: failures", name);
		/* It serves the next driver. */
		balloon_start(V1);
		move(queue, pfn, 2);
	}
	COUNTED(balloon, inflated, 2 + lists[_i].moved);
	COUNTED(balloon, deflated, 2 + lists[_i].moved);
}
END_TEST

/* Four million numbers, one window to a call: nobody waits for more than that. */
START_TEST(millions_in_one_chain)
{
	const struct gpa_range buffer[] = {
		{LIST, 8 * MIB}, {LIST + 2, 8 * MIB}, {LIST + 1, 8 * MIB + 1}};
	unsigned int calls = 0;

	memset(fake_driver_at(&guest, LIST, 10 * MIB), 0xff, 10 * MIB);
	fake_queue_add(&guest.queue[INFLATE_Q], buffer, 3, 3);
	fake_driver_set(&guest, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	while (atomic_load(&guest.deferred)) {
		unsigned long long before = atomic_load(&balloon.counters.balloon.failures);
		fake_driver_turn(&guest);
		ck_assert_uint_le(atomic_load(&balloon.counters.balloon.failures) - before, WINDOW);
		calls++;
	}
	ck_assert_uint_eq(calls, 24 * MIB / 4 / WINDOW + 1);
	ck_assert(fake_queue_used(&guest.queue[INFLATE_Q], &element));
	ck_assert_uint_eq(hook.calls, 0);
	/* The same number all over, so one in each window; and the byte that is over. */
	COUNTED(balloon, failures, 24 * MIB / 4 / WINDOW + 1);
	ck_assert_uint_eq(atomic_load(&balloon.log_pages.lines), LOG_LIMIT_LINES);
}
END_TEST

/* The longest that a descriptor can say, over RAM that ends before. */
START_TEST(a_list_longer_than_ram)
{
	memset(fake_driver_at(&guest, HIGH_GPA, HIGH_END - HIGH_GPA), 0xff, HIGH_END - HIGH_GPA);
	fake_queue_add(&guest.queue[DEFLATE_Q], &(struct gpa_range){HIGH_GPA, 0xffffffff}, 1, 1);
	fake_driver_kick(&guest, DEFLATE_Q);
	ck_assert(needs_reset());
	COUNTED(balloon, failures, (HIGH_END - HIGH_GPA) / 4 / WINDOW);
}
END_TEST

/* The list itself, and the rings, are put into the balloon. */
START_TEST(a_guest_may_give_away_its_rings)
{
	uint32_t pfn[WINDOW];

	for (unsigned int i = 0; i < WINDOW; i++)
		pfn[i] = i; /* the first 2 MiB */
	list(pfn, WINDOW);
	fake_queue_add(&guest.queue[INFLATE_Q], &(struct gpa_range){LIST, 4 * WINDOW}, 1, 1);
	fake_driver_kick(&guest, INFLATE_Q);
	fake_driver_kick(&guest, INFLATE_Q);
	ck_assert(needs_reset());
	balloon_start(V1);
	move(INFLATE_Q, pfn + WINDOW - 1, 1);
}
END_TEST

/* --- a reset in the middle --------------------------------------------------------------------- */

static void *work_once(void *unused)
{
	(void)unused;
	fake_driver_spurious(&guest);
	return NULL;
}

static void *reset(void *unused)
{
	(void)unused;
	fake_driver_set(&guest, VIRTIO_MMIO_STATUS, 0);
	memset(guest.queue[INFLATE_Q].used, 0xee, 4 * KIB);
	return NULL;
}

/* Until somebody waits for the device, for 10 s at most. */
static void await_waiter(void)
{
	struct timespec moment = {.tv_nsec = 1000000};
	for (int i = 0; i < 10000; i++) {
		if (pthread_mutex_trylock(&guest.mmio.core.next) == EBUSY)
			return;
		pthread_mutex_unlock(&guest.mmio.core.next);
		nanosleep(&moment, NULL);
	}
	ck_abort_msg("nobody waits for the device");
}

START_TEST(a_reset_waits_for_one_window)
{
	static uint32_t pfn[4 * WINDOW];
	pthread_t working, resetting;

	for (unsigned int i = 0; i < 4 * WINDOW; i++)
		pfn[i] = PFN(AT(i));
	list(pfn, 4 * WINDOW);
	fill(AT(0), K(4 * WINDOW));
	fake_queue_add(&guest.queue[INFLATE_Q], &(struct gpa_range){LIST, 16 * WINDOW}, 1, 1);
	hook.blocks = true;
	ck_assert_int_eq(pthread_create(&working, NULL, work_once, NULL), 0);
	sem_wait(&hook.within);
	/* The target is set and looked at meanwhile. */
	ck_assert_uint_eq(balloon_set_target(&balloon, MIB), MIB);
	ck_assert_uint_eq(fake_driver_get(&guest, VIRTIO_MMIO_CONFIG), 256);
	fake_driver_set(&guest, VIRTIO_MMIO_CONFIG + 4, 3);
	ck_assert_uint_eq(balloon_view(&balloon, 0).actual, K(3));
	ck_assert_int_eq(pthread_create(&resetting, NULL, reset, NULL), 0);
	await_waiter();
	sem_post(&hook.go_on);
	pthread_join(working, NULL);
	pthread_join(resetting, NULL);
	hook.blocks = false;
	fake_driver_work(&guest);
	ck_assert_uint_eq(hook.calls, 1);
	ck_assert(holds(AT(0), K(WINDOW), 0));
	ck_assert(holds(AT(WINDOW), K(3 * WINDOW), GUEST));
	ck_assert(holds(RINGS_GPA + 32 * KIB, K(1), 0xee));

	/* The next driver's first chain is not the rest of that one. */
	balloon_start(V1);
	move(INFLATE_Q, pfn + 4 * WINDOW - 1, 1);
	COUNTED(balloon, inflated, WINDOW + 1);
}
END_TEST

/* A queue that is stopped in the middle of a chain is left alone, the others go on. */
START_TEST(a_queue_stopped_in_the_middle)
{
	static uint32_t pfn[2 * WINDOW];

	for (unsigned int i = 0; i < 2 * WINDOW; i++)
		pfn[i] = PFN(AT(i));
	list(pfn, 2 * WINDOW);
	fake_queue_add(&guest.queue[INFLATE_Q], &(struct gpa_range){LIST, 8 * WINDOW}, 1, 1);
	fake_driver_set(&guest, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	fake_driver_spurious(&guest);
	COUNTED(balloon, inflated, WINDOW);
	fake_driver_set(&guest, VIRTIO_MMIO_QUEUE_SEL, INFLATE_Q);
	fake_driver_set(&guest, VIRTIO_MMIO_QUEUE_READY, 0);
	fake_driver_work(&guest);
	move(DEFLATE_Q, pfn, 5);
	COUNTED(balloon, inflated, WINDOW);
	COUNTED(balloon, deflated, 5);
	ck_assert(!fake_queue_used(&guest.queue[INFLATE_Q], &element));
}
END_TEST

Suite *inflate_suite(void);
Suite *inflate_suite(void)
{
	Suite *suite = suite_create("inflate and deflate");
	TCase *tcase = tcase_create("driver");
	tcase_add_checked_fixture(tcase, setup, balloon_unplug);
	tcase_add_test(tcase, inflated_pages_are_gone);
	tcase_add_test(tcase, deflating_touches_nothing);
	tcase_add_test(tcase, in_and_out_and_in);
	tcase_add_test(tcase, buffers_mean_nothing);
	tcase_add_test(tcase, large_pages_go_whole);
	tcase_add_test(tcase, held_back_is_no_failure);
	tcase_add_test(tcase, refused_is_a_failure);
	tcase_add_test(tcase, a_reset_waits_for_one_window);
	tcase_add_test(tcase, a_queue_stopped_in_the_middle);
	suite_add_tcase(suite, tcase);

	tcase = tcase_create("attacker");
	tcase_add_checked_fixture(tcase, setup, balloon_unplug);
	tcase_add_loop_test(tcase, pages_that_are_not_ram, 0,
			    sizeof(strangers) / sizeof(strangers[0]));
	tcase_add_loop_test(tcase, lists_that_lie, 0, sizeof(lists) / sizeof(lists[0]));
	tcase_add_test(tcase, millions_in_one_chain);
	tcase_add_test(tcase, a_list_longer_than_ram);
	tcase_add_test(tcase, a_guest_may_give_away_its_rings);
	suite_add_tcase(suite, tcase);
	return suite;
}
