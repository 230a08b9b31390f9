// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "tests/unit/fake_balloon.h"
#include "vmm/mem/torn.h"

#define REPORT_Q 2

static struct fake_queue *ring;

static void setup(void)
{
	balloon_plug(&(struct balloon_config){.free_page_reporting = true});
	balloon_start(V1 | REPORTING);
	ring = &guest.queue[REPORT_Q];
}

/* Reports buffers in one chain; returns the used length. */
static uint32_t report(const struct gpa_range *block, unsigned int n)
{
	return serve_chain(REPORT_Q, block, n, 0);
}

/* --- reports --------------------------------------------------------------------------------- */

START_TEST(a_full_report)
{
	/* 32 blocks: eight runs of three neighbours, eight alone; with a gap behind every run. */
	struct gpa_range block[32];
	unsigned int n = 0;
	for (unsigned int run = 0; run < 8; run++)
		for (unsigned int i = 0; i < 3; i++)
			block[n++] = (struct gpa_range){BLOCKS_GPA + (run * 4 + i) * BLOCK, BLOCK};
	for (unsigned int i = 0; i < 8; i++)
		block[n++] = (struct gpa_range){HIGH_GPA + i * 2 * BLOCK, BLOCK};
	/* Out of order: 13 and 32 have no common divisor. */
	struct gpa_range shuffled[32];
	for (unsigned int i = 0; i < 32; i++)
		shuffled[i] = block[i * 13 % 32];
	fill(BLOCKS_GPA, 32 * BLOCK);
	fill(HIGH_GPA, 16 * BLOCK);

	ck_assert_uint_eq(report(shuffled, 32), 32 * BLOCK);
	ck_assert_uint_eq(hook.calls, 1);
	ck_assert_uint_eq(hook.ranges, 16);
	for (unsigned int i = 0; i < 8; i++) {
		ck_assert_uint_eq(hook.range[i].gpa, BLOCKS_GPA + i * 4 * BLOCK);
		ck_assert_uint_eq(hook.range[i].len, 3 * BLOCK);
		ck_assert_uint_eq(hook.range[8 + i].gpa, HIGH_GPA + i * 2 * BLOCK);
		ck_assert_uint_eq(hook.range[8 + i].len, BLOCK);
	}
	COUNTED(reporting, reports, 1);
	COUNTED(reporting, blocks, 32);
	COUNTED(reporting, bytes, 32 * BLOCK);
	COUNTED(reporting, ranges, 16);
	COUNTED(reporting, failures, 0);
	ck_assert_uint_eq(atomic_load(&guest.interrupts), 1);

	/* Gone before it is looked at, zero after; the gaps are as they were. */
	for (unsigned int i = 0; i < 32; i++) {
		ck_assert(!resident(block[i].gpa));
		ck_assert(!resident(block[i].gpa + BLOCK - 4 * KIB));
	}
	for (unsigned int i = 0; i < 8; i++) {
		ck_assert(holds(BLOCKS_GPA + i * 4 * BLOCK, 3 * BLOCK, 0));
		ck_assert(holds(BLOCKS_GPA + (i * 4 + 3) * BLOCK, BLOCK, GUEST));
		ck_assert(holds(HIGH_GPA + i * 2 * BLOCK, BLOCK, 0));
		ck_assert(holds(HIGH_GPA + (i * 2 + 1) * BLOCK, BLOCK, GUEST));
	}
}
END_TEST

/* A host with pages of 64 KiB: what a guest of smaller pages reports less of is kept, and not promised. */
START_TEST(pages_of_the_host_go_whole)
{
	guest.ram.page_size = 64 * KIB;
	fill(BLOCKS_GPA, BLOCK);
	ck_assert_uint_eq(report(&(struct gpa_range){BLOCKS_GPA, K(15)}, 1), 0);
	ck_assert(holds(BLOCKS_GPA, BLOCK, GUEST));
	COUNTED(reporting, bytes, 0);
	COUNTED(reporting, failures, 0);
	/* Two whole ones with parts around them: gone, but all that was reported is not. */
	ck_assert_uint_eq(report(&(struct gpa_range){BLOCKS_GPA + K(15), K(34)}, 1), 0);
	COUNTED(reporting, bytes, K(32));
	ck_assert(holds(BLOCKS_GPA, K(16), GUEST));
	ck_assert(holds(BLOCKS_GPA + K(16), K(32), 0));
	ck_assert(holds(BLOCKS_GPA + K(48), K(16), GUEST));
	/* Neighbours that are one page together, whichever came first. */
	const struct gpa_range halves[] = {{BLOCKS_GPA + K(8), K(8)}, {BLOCKS_GPA, K(8)}};
	ck_assert_uint_eq(report(halves, 2), K(16));
	ck_assert(holds(BLOCKS_GPA, K(48), 0));
	ck_assert_uint_eq(report(&(struct gpa_range){BLOCKS_GPA, BLOCK}, 1), BLOCK);
}
END_TEST

/* A part of a huge page goes, and then all of it. */
START_TEST(what_is_left_of_a_huge_page_is_torn)
{
	if (!guest.ram.torn)
		return; /* this host makes no huge pages */
	ck_assert_uint_eq(report(&(struct gpa_range){BLOCKS_GPA + K(16), K(16)}, 1), K(16));
	ck_assert_uint_eq(ram_torn_count(&guest.ram), 1);
	ck_assert_uint_eq(report(&(struct gpa_range){BLOCKS_GPA, BLOCK}, 1), BLOCK);
	ck_assert_uint_eq(ram_torn_count(&guest.ram), 0);
}
END_TEST

START_TEST(report_after_report)
{
	for (unsigned int i = 0; i < 1000; i++) {
		const struct gpa_range block = {BLOCKS_GPA + i % 8 * BLOCK, BLOCK};
		ck_assert_uint_eq(report(&block, 1), BLOCK);
	}
	COUNTED(reporting, reports, 1000);
	COUNTED(reporting, bytes, 1000 * BLOCK);
}
END_TEST

START_TEST(many_chains_at_one_doorbell)
{
	struct vring_used_elem element;

	for (unsigned int i = 0; i < SIZE; i++)
		fake_queue_add(ring, &(struct gpa_range){BLOCKS_GPA + i * 4 * KIB, 4 * KIB}, 1, 0);
	fake_driver_kick(&guest, REPORT_Q);
	for (unsigned int i = 0; i < SIZE; i++) {
		ck_assert(fake_queue_used(ring, &element));
		ck_assert_uint_eq(element.len, 4 * KIB);
	}
	COUNTED(reporting, reports, SIZE);
}
END_TEST

/* What the used length promises, by what went wrong with which buffer. */
static const struct {
	const char *name;
	int refuse; /* the step that the host refuses */
	unsigned int n;
	struct gpa_range block[4];
	uint32_t used;
	uint64_t bytes;
	unsigned int failures;
} promises[] = {
	{"all is well", -1, 2, {{AT(0), K(1)}, {AT(2), K(1)}}, K(2), K(2), 0},
	{"the first refused", 0, 2, {{AT(0), K(1)}, {AT(2), K(1)}}, 0, K(1), 1},
	{"the second refused", 1, 2, {{AT(0), K(1)}, {AT(2), K(1)}}, K(1), K(1), 1},
	/* Steps ascend, but the promise goes by the driver's order. */
	{"the lowest refused", 0, 3, {{AT(4), K(2)}, {AT(8), K(1)}, {AT(0), K(1)}}, K(3), K(3), 1},
	{"one in the middle refused",
	 1,
	 3,
	 {{AT(8), K(1)}, {AT(4), K(1)}, {AT(0), K(1)}},
	 K(1),
	 K(2),
	 1},
	{"merged with what was refused",
	 0,
	 3,
	 {{AT(8), K(1)}, {AT(0), K(1)}, {AT(1), K(1)}},
	 K(1),
	 K(1),
	 1},
	{"not RAM", -1, 2, {{AT(0), K(1)}, {LOW_END, K(1)}}, K(1), K(1), 1},
	{"not RAM, first", -1, 2, {{LOW_END, K(1)}, {AT(0), K(1)}}, 0, K(1), 1},
	{"across the hole",
	 -1,
	 2,
	 {{LOW_END - K(1), HIGH_GPA - LOW_END + K(2)}, {AT(0), K(1)}},
	 0,
	 K(3),
	 1},
	{"out of RAM", -1, 2, {{AT(0), K(1)}, {HIGH_END - K(1), K(2)}}, K(1), K(2), 1},
	{"wraps", -1, 2, {{AT(0), K(1)}, {-K(1), K(2)}}, K(1), K(1), 1},
	{"the top", -1, 1, {{-1ULL, 1}}, 0, 0, 0},
	{"not whole pages", -1, 2, {{AT(0), K(1)}, {AT(1) + 1, K(1)}}, K(1), K(1), 0},
	{"less than a page", -1, 1, {{AT(0), 100}}, 0, 0, 0},
	/* Pieces of pages that make whole ones between them do read as zero. */
	{"two halves", -1, 2, {{AT(0), K(1) / 2}, {AT(0) + K(1) / 2, K(1) / 2}}, K(1), K(1), 0},
	{"the same twice", -1, 2, {{AT(0), K(1)}, {AT(0), K(1)}}, K(2), K(1), 0},
	{"overlapping", -1, 2, {{AT(0), K(2)}, {AT(1), K(2)}}, K(4), K(3), 0},
	{"empty", -1, 3, {{AT(0), K(1)}, {0, 0}, {AT(2), K(1)}}, K(2), K(2), 0},
	{"only empty", -1, 1, {{AT(0), 0}}, 0, 0, 0},
	{"a huge one", -1, 1, {{0, 0xffffffff}}, 0, LOW_END + HIGH_END - HIGH_GPA, 1},
};

START_TEST(the_used_length_is_a_promise)
{
	const char *name = promises[_i].name;

	fill(BLOCKS_GPA, K(16));
	hook.refuse = promises[_i].refuse;
	fake_queue_add(ring, promises[_i].block, promises[_i].n, 0);
	fake_driver_kick(&guest, REPORT_Q);
	if (promises[_i].bytes > BLOCKS_GPA) {
		/* It has given away its rings: nobody is told anything, and nothing breaks. */
		COUNTED(reporting, bytes, promises[_i].bytes);
		return;
	}
	struct vring_used_elem element;
	ck_assert(fake_queue_used(ring, &element));
	ck_assert_msg(element.len == promises[_i].used, "%s: used %u", name, element.len);
	ck_assert_msg(atomic_load(&balloon.counters.reporting.bytes) == promises[_i].bytes,
		      "%s: bytes", name);
	ck_assert_msg(atomic_load(&balloon.counters.reporting.failures) == promises[_i].failures,
		      "%s: failures", name);
	/* The promise kept. */
	for (uint64_t i = 0, left = element.len; left > 0; left -= promises[_i].block[i++].len)
		if (promises[_i].block[i].len)
			ck_assert_msg(
				holds(promises[_i].block[i].gpa, promises[_i].block[i].len, 0),
				"%s: buffer %lu is not zero", name, i);
	ck_assert(!needs_reset());
}
END_TEST

START_TEST(a_used_length_has_32_bits)
{
	/* Two buffers of 2 GiB each, of which both lie in RAM that is large enough. */
	const struct gpa_range span = {0, 4096 * MIB};
	const struct gpa_range block[] = {{0, 2048 * MIB}, {2048 * MIB, 2048 * MIB}};
	struct vring_used_elem element;
	struct ram small = guest.ram;

	ck_assert_int_eq(ram_init(&guest.ram, &(struct ram_config)RAM_CONFIG_DEFAULT, &span, 1), 0);
	fake_queue_add(ring, block, 2, 0); /* the rings are in the other RAM: they stay */
	fake_driver_kick(&guest, REPORT_Q);
	ck_assert(fake_queue_used(ring, &element));
	ck_assert_uint_eq(element.len, 2048 * MIB);
	COUNTED(reporting, bytes, 4096 * MIB);
	ram_release(&guest.ram);
	guest.ram = small;
}
END_TEST

START_TEST(a_readable_block_is_refused)
{
	const struct gpa_range block[] = {{AT(0), K(1)}, {AT(2), K(1)}};
	struct vring_used_elem element;

	fill(BLOCKS_GPA, K(4));
	fake_queue_add(ring, block, 2, 1);
	fake_driver_kick(&guest, REPORT_Q);
	ck_assert(!fake_queue_used(ring, &element));
	ck_assert(needs_reset());
	ck_assert_uint_eq(hook.calls, 0);
	ck_assert(holds(BLOCKS_GPA, K(4), GUEST));
}
END_TEST

/* The guest's memory is its own to lose, its rings among it. */
START_TEST(a_guest_may_report_its_own_rings)
{
	const struct gpa_range block = {0, BLOCKS_GPA};

	fake_queue_add(ring, &block, 1, 0);
	fake_driver_kick(&guest, REPORT_Q);
	/* The ring reads as zero, but for what the device wrote to it afterwards. */
	ck_assert_uint_eq(ring->desc[0].len, 0);
	ck_assert_uint_eq(ring->used->idx, 1);
	ck_assert_uint_eq(ring->used->ring[0].len, BLOCKS_GPA);
	/* And the index went backwards: broken, until the driver resets it. */
	fake_driver_kick(&guest, REPORT_Q);
	ck_assert(needs_reset());
	balloon_start(V1 | REPORTING);
	ck_assert_uint_eq(report(&(struct gpa_range){BLOCKS_GPA, BLOCK}, 1), BLOCK);
}
END_TEST

START_TEST(a_queue_that_was_not_negotiated)
{
	struct vring_used_elem element;

	fake_driver_start(&guest, V1, 3, SIZE);
	fake_queue_add(ring, &(struct gpa_range){BLOCKS_GPA, BLOCK}, 1, 0);
	fake_driver_kick(&guest, REPORT_Q);
	ck_assert(!fake_queue_used(ring, &element));
	ck_assert_uint_eq(hook.calls, 0);
	ck_assert(needs_reset());
}
END_TEST

/* --- a reset while a report is in flight ----------------------------------------------------- */

static atomic_bool reset_done;

static void *worker(void *unused)
{
	(void)unused;
	fake_driver_spurious(&guest);
	return NULL;
}

static void *resetter(void *unused)
{
	(void)unused;
	fake_driver_set(&guest, VIRTIO_MMIO_STATUS, 0);
	/* From here on the rings are the driver's. */
	memset(ring->used, 0xee, 4 * KIB);
	atomic_store(&reset_done, true);
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

START_TEST(a_reset_waits_for_the_report_in_flight)
{
	pthread_t working, resetting;
	const struct gpa_range block = {BLOCKS_GPA, BLOCK};

	fill(BLOCKS_GPA, BLOCK);
	hook.blocks = true;
	atomic_store(&reset_done, false);
	fake_queue_add(ring, &block, 1, 0);
	fake_queue_add(ring, &block, 1, 0);
	fake_driver_set(&guest, VIRTIO_MMIO_QUEUE_NOTIFY, REPORT_Q);
	ck_assert_int_eq(pthread_create(&working, NULL, worker, NULL), 0);
	sem_wait(&hook.within);
	ck_assert_int_eq(pthread_create(&resetting, NULL, resetter, NULL), 0);
	await_waiter();
	ck_assert(!atomic_load(&reset_done));
	ck_assert_uint_eq(ring->used->idx, 0);
	sem_post(&hook.go_on);
	pthread_join(working, NULL);
	pthread_join(resetting, NULL);
	ck_assert(holds(BLOCKS_GPA, BLOCK, 0)); /* it was finished, not abandoned */
	COUNTED(reporting, reports, 1);		/* and the one behind it not begun */

	hook.blocks = false;
	fake_driver_spurious(&guest);
	fake_driver_work(&guest);
	ck_assert_uint_eq(hook.calls, 1);
	ck_assert(holds(RINGS_GPA + REPORT_Q * RINGS_SIZE + 32 * KIB, 4 * KIB, 0xee));
	ck_assert_uint_eq(fake_driver_get(&guest, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
}
END_TEST

/* --- discards that did not happen, or not all the way ----------------------------------------- */

START_TEST(held_back_is_no_failure)
{
	const struct gpa_range block[] = {{AT(0), K(2)}, {AT(4), K(1)}};

	hook.inhibit = true;
	ck_assert_uint_eq(report(block, 2), 0);
	COUNTED(reporting, held_back, K(3));
	COUNTED(reporting, bytes, 0);
	COUNTED(reporting, failures, 0);
	COUNTED(reporting, reports, 1);
	hook.inhibit = false;
	ck_assert_uint_eq(report(block, 2), K(3));
	COUNTED(reporting, held_back, K(3));
	COUNTED(reporting, bytes, K(3));
}
END_TEST

/* What the host may still take later (MADV_FREE) is given back, but does not read as zero now. */
START_TEST(done_is_not_zero)
{
	const struct gpa_range block = {AT(0), K(2)};

	hook.lazy = true;
	ck_assert_uint_eq(report(&block, 1), 0);
	COUNTED(reporting, bytes, K(2));
	COUNTED(reporting, held_back, 0);
}
END_TEST

/* --- guests that rely on what free pages hold -------------------------------------------------- */

#define POISON_VAL 0x10c /* in the configuration space */

START_TEST(poisoned_pages_are_kept)
{
	const struct gpa_range block[] = {{AT(0), K(2)}, {AT(4), K(1)}, {LOW_END, K(1)}};

	fake_driver_negotiate(&guest, V1 | REPORTING | POISON);
	/* As Linux does: after FEATURES_OK, before DRIVER_OK. */
	fake_driver_set(&guest, POISON_VAL, 0xaaaaaaaa);
	ck_assert_uint_eq(fake_driver_get(&guest, POISON_VAL), 0xaaaaaaaa);
	for (unsigned int i = 0; i < 3; i++)
		fake_driver_queue(&guest, i, SIZE);
	fake_driver_ok(&guest);
	fill(BLOCKS_GPA, K(8));
	ck_assert_uint_eq(report(block, 3), 0);
	ck_assert(holds(BLOCKS_GPA, K(8), GUEST));
	ck_assert_uint_eq(hook.calls, 0);
	COUNTED(reporting, reports, 1);
	COUNTED(reporting, blocks, 3);
	COUNTED(reporting, bytes, 0);
	COUNTED(reporting, held_back, K(3));
	COUNTED(reporting, failures, 1); /* what is not RAM is none the less not RAM */
	/* The driver may change its mind. */
	fake_driver_set(&guest, POISON_VAL, 0);
	ck_assert_uint_eq(report(block, 2), K(3));
	ck_assert(holds(AT(0), K(2), 0));
	COUNTED(reporting, held_back, K(3));
}
END_TEST

/* init_on_free: free pages hold zeros, and so does what comes back. */
START_TEST(zeroed_pages_are_discarded)
{
	balloon_start(V1 | REPORTING | POISON);
	fill(BLOCKS_GPA, K(2));
	ck_assert_uint_eq(report(&(struct gpa_range){AT(0), K(2)}, 1), K(2));
	ck_assert(holds(AT(0), K(2), 0));
}
END_TEST

/* One byte of four is enough. */
START_TEST(any_poison_is_poison)
{
	const uint8_t one = 1;

	balloon_start(V1 | REPORTING | POISON);
	virtio_mmio_write(&guest.mmio, POISON_VAL + 3, &one, 1);
	ck_assert_uint_eq(fake_driver_get(&guest, POISON_VAL), 0x01000000);
	ck_assert_uint_eq(report(&(struct gpa_range){AT(0), K(2)}, 1), 0);
	ck_assert_uint_eq(hook.calls, 0);
}
END_TEST

START_TEST(poison_must_be_negotiated)
{
	fake_driver_set(&guest, POISON_VAL, 0xaaaaaaaa);
	ck_assert_uint_eq(fake_driver_get(&guest, POISON_VAL), 0);
	ck_assert_uint_eq(report(&(struct gpa_range){AT(0), K(2)}, 1), K(2));
}
END_TEST

/* Linux resets the device to wake from hibernation, and does not say it again. */
START_TEST(poison_outlives_a_reset)
{
	const struct gpa_range block = {AT(0), K(2)};

	balloon_start(V1 | REPORTING | POISON);
	fake_driver_set(&guest, POISON_VAL, 0xaaaaaaaa);
	balloon_start(V1 | REPORTING | POISON);
	ck_assert_uint_eq(report(&block, 1), 0);
	/* A driver that does not rely on it. */
	balloon_start(V1 | REPORTING);
	ck_assert_uint_eq(fake_driver_get(&guest, POISON_VAL), 0);
	ck_assert_uint_eq(report(&block, 1), K(2));
}
END_TEST

Suite *reporting_suite(void);
Suite *reporting_suite(void)
{
	Suite *suite = suite_create("free page reporting");
	TCase *tcase = tcase_create("reports");
	tcase_add_checked_fixture(tcase, setup, balloon_unplug);
	tcase_add_test(tcase, a_full_report);
	tcase_add_test(tcase, pages_of_the_host_go_whole);
	tcase_add_test(tcase, what_is_left_of_a_huge_page_is_torn);
	tcase_add_test(tcase, report_after_report);
	tcase_add_test(tcase, many_chains_at_one_doorbell);
	tcase_add_loop_test(tcase, the_used_length_is_a_promise, 0,
			    sizeof(promises) / sizeof(promises[0]));
	tcase_add_test(tcase, a_used_length_has_32_bits);
	tcase_add_test(tcase, a_readable_block_is_refused);
	tcase_add_test(tcase, a_guest_may_report_its_own_rings);
	tcase_add_test(tcase, a_queue_that_was_not_negotiated);
	tcase_add_test(tcase, a_reset_waits_for_the_report_in_flight);
	tcase_add_test(tcase, held_back_is_no_failure);
	tcase_add_test(tcase, done_is_not_zero);
	tcase_add_test(tcase, poisoned_pages_are_kept);
	tcase_add_test(tcase, zeroed_pages_are_discarded);
	tcase_add_test(tcase, any_poison_is_poison);
	tcase_add_test(tcase, poison_must_be_negotiated);
	tcase_add_test(tcase, poison_outlives_a_reset);
	suite_add_tcase(suite, tcase);
	return suite;
}
