// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <errno.h>
#include <linux/virtio_balloon.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "devices/virtio-balloon/balloon.h"
#include "tests/unit/fake_driver.h"

#define V1	  (1ULL << VIRTIO_F_VERSION_1)
#define REPORTING (1ULL << VIRTIO_BALLOON_F_REPORTING)
#define INFLATE_Q 0
#define DEFLATE_Q 1
#define REPORT_Q  2
#define SIZE	  128
#define GUEST	  0xa5 /* what the guest's memory is full of */

static struct fake_driver driver;
static struct balloon balloon;
static struct fake_queue *ring;

/* The discard hook: what it was asked for, and what it is to do. */
static struct {
	struct gpa_range range[VIRTIO_QUEUE_SIZE_MAX];
	size_t ranges;
	unsigned int calls;
	int refuse;   /* the step to refuse, or -1 */
	bool blocks;  /* stop until told to go on */
	sem_t within; /* it has stopped */
	sem_t go_on;
} hook;

static size_t discard(void *ctx, const struct gpa_range *range, size_t n, struct discard_step *step,
		      struct discard_result *result)
{
	(void)ctx;
	hook.calls++;
	hook.ranges = n;
	memcpy(hook.range, range, n * sizeof(*range));
	if (hook.blocks) {
		sem_post(&hook.within);
		sem_wait(&hook.go_on);
	}
	size_t steps = ram_discard(&driver.ram, range, n, step, result);
	if (hook.refuse >= 0 && (size_t)hook.refuse < steps) {
		/* As though the host had not done this one. */
		step[hook.refuse].done = false;
		result->bytes -= step[hook.refuse].range.len;
		result->failures++;
		result->error = -ENOMEM;
	}
	return steps;
}

static void plug(bool reporting)
{
	const struct balloon_config config = {.free_page_reporting = reporting};

	fake_driver_init(&driver);
	driver.host.discard = discard;
	memset(&hook, 0, sizeof(hook));
	hook.refuse = -1;
	sem_init(&hook.within, 0, 0);
	sem_init(&hook.go_on, 0, 0);
	ck_assert_int_eq(balloon_init(&balloon, &config, &driver.host), 0);
	fake_driver_plug(&driver, &balloon.dev);
	ring = &driver.queue[REPORT_Q];
}

static void setup(void)
{
	plug(true);
	fake_driver_start(&driver, V1 | REPORTING, 3, SIZE);
}

static void setup_without_reporting(void)
{
	plug(false);
	fake_driver_start(&driver, V1, 2, SIZE);
}

static void teardown(void)
{
	fake_driver_release(&driver);
	balloon_release(&balloon);
	sem_destroy(&hook.within);
	sem_destroy(&hook.go_on);
}

static void fill(uint64_t gpa, uint64_t len)
{
	memset(fake_driver_at(&driver, gpa, len), GUEST, len);
}

static bool holds(uint64_t gpa, uint64_t len, uint8_t value)
{
	const uint8_t *at = fake_driver_at(&driver, gpa, len);
	for (uint64_t i = 0; i < len; i++)
		if (at[i] != value)
			return false;
	return true;
}

static bool resident(uint64_t gpa)
{
	unsigned char page;
	ck_assert_int_eq(mincore(fake_driver_at(&driver, gpa, 4 * KIB), 4 * KIB, &page), 0);
	return page & 1;
}

/* Reports buffers in one chain; returns the used length. */
static uint32_t report(const struct gpa_range *block, unsigned int n)
{
	struct vring_used_elem element;
	uint16_t head = fake_queue_add(ring, block, n, 0);

	fake_driver_kick(&driver, REPORT_Q);
	ck_assert(fake_queue_used(ring, &element));
	ck_assert_uint_eq(element.id, head);
	return element.len;
}

static uint32_t status(void)
{
	return fake_driver_get(&driver, VIRTIO_MMIO_STATUS);
}

#define COUNTED(counter, n) ck_assert_uint_eq(atomic_load(&balloon.counters.counter), n)

/* --- what is offered ------------------------------------------------------------------------- */

START_TEST(reporting_is_offered)
{
	ck_assert_uint_eq(fake_driver_get(&driver, VIRTIO_MMIO_DEVICE_ID), 5);
	/* No PAGE_POISON: a guest that poisons must not be handed zeros, and so does not report. */
	ck_assert_uint_eq(balloon.dev.features_offered, V1 | REPORTING);
	ck_assert_uint_eq(balloon.dev.queues, 3);
	fake_driver_set(&driver, VIRTIO_MMIO_QUEUE_SEL, REPORT_Q);
	ck_assert_uint_ge(fake_driver_get(&driver, VIRTIO_MMIO_QUEUE_NUM_MAX), 32);
	fake_driver_set(&driver, VIRTIO_MMIO_QUEUE_SEL, 4); /* not where the specification says */
	ck_assert_uint_eq(fake_driver_get(&driver, VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
}
END_TEST

START_TEST(reporting_is_not_offered)
{
	ck_assert_uint_eq(balloon.dev.features_offered, V1);
	ck_assert_uint_eq(balloon.dev.queues, 2);
}
END_TEST

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
	COUNTED(reports, 1);
	COUNTED(blocks, 32);
	COUNTED(bytes, 32 * BLOCK);
	COUNTED(ranges, 16);
	COUNTED(failures, 0);
	ck_assert_uint_eq(atomic_load(&driver.interrupts), 1);

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

START_TEST(report_after_report)
{
	for (unsigned int i = 0; i < 1000; i++) {
		const struct gpa_range block = {BLOCKS_GPA + i % 8 * BLOCK, BLOCK};
		ck_assert_uint_eq(report(&block, 1), BLOCK);
	}
	COUNTED(reports, 1000);
	COUNTED(bytes, 1000 * BLOCK);
}
END_TEST

START_TEST(many_chains_at_one_doorbell)
{
	struct vring_used_elem element;

	for (unsigned int i = 0; i < SIZE; i++)
		fake_queue_add(ring, &(struct gpa_range){BLOCKS_GPA + i * 4 * KIB, 4 * KIB}, 1, 0);
	fake_driver_kick(&driver, REPORT_Q);
	for (unsigned int i = 0; i < SIZE; i++) {
		ck_assert(fake_queue_used(ring, &element));
		ck_assert_uint_eq(element.len, 4 * KIB);
	}
	COUNTED(reports, SIZE);
}
END_TEST

/* What the used length promises, by what went wrong with which buffer. */
#define K(n)  (4 * KIB * (n))
#define AT(n) (BLOCKS_GPA + K(n))
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
	fake_driver_kick(&driver, REPORT_Q);
	if (promises[_i].bytes > BLOCKS_GPA) {
		/* It has given away its rings: nobody is told anything, and nothing breaks. */
		COUNTED(bytes, promises[_i].bytes);
		return;
	}
	struct vring_used_elem element;
	ck_assert(fake_queue_used(ring, &element));
	ck_assert_msg(element.len == promises[_i].used, "%s: used %u", name, element.len);
	ck_assert_msg(atomic_load(&balloon.counters.bytes) == promises[_i].bytes, "%s: bytes",
		      name);
	ck_assert_msg(atomic_load(&balloon.counters.failures) == promises[_i].failures,
		      "%s: failures", name);
	/* The promise kept. */
	for (uint64_t i = 0, left = element.len; left > 0; left -= promises[_i].block[i++].len)
		if (promises[_i].block[i].len)
			ck_assert_msg(
				holds(promises[_i].block[i].gpa, promises[_i].block[i].len, 0),
				"%s: buffer %lu is not zero", name, i);
	ck_assert_uint_eq(status() & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
}
END_TEST

START_TEST(a_used_length_has_32_bits)
{
	/* Two buffers of 2 GiB each, of which both lie in RAM that is large enough. */
	const struct gpa_range span = {0, 4096 * MIB};
	const struct gpa_range block[] = {{0, 2048 * MIB}, {2048 * MIB, 2048 * MIB}};
	struct vring_used_elem element;
	struct ram small = driver.ram;

	ck_assert_int_eq(ram_init(&driver.ram, &(struct ram_config)RAM_CONFIG_DEFAULT, &span, 1),
			 0);
	fake_queue_add(ring, block, 2, 0); /* the rings are in the other RAM: they stay */
	fake_driver_kick(&driver, REPORT_Q);
	ck_assert(fake_queue_used(ring, &element));
	ck_assert_uint_eq(element.len, 2048 * MIB);
	COUNTED(bytes, 4096 * MIB);
	ram_release(&driver.ram);
	driver.ram = small;
}
END_TEST

START_TEST(a_readable_block_is_refused)
{
	const struct gpa_range block[] = {{AT(0), K(1)}, {AT(2), K(1)}};
	struct vring_used_elem element;

	fill(BLOCKS_GPA, K(4));
	fake_queue_add(ring, block, 2, 1);
	fake_driver_kick(&driver, REPORT_Q);
	ck_assert(!fake_queue_used(ring, &element));
	ck_assert_uint_ne(status() & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
	ck_assert_uint_eq(hook.calls, 0);
	ck_assert(holds(BLOCKS_GPA, K(4), GUEST));
}
END_TEST

/* The guest's memory is its own to lose, its rings among it. */
START_TEST(a_guest_may_report_its_own_rings)
{
	const struct gpa_range block = {0, BLOCKS_GPA};

	fake_queue_add(ring, &block, 1, 0);
	fake_driver_kick(&driver, REPORT_Q);
	/* The ring reads as zero, but for what the device wrote to it afterwards. */
	ck_assert_uint_eq(ring->desc[0].len, 0);
	ck_assert_uint_eq(ring->used->idx, 1);
	ck_assert_uint_eq(ring->used->ring[0].len, BLOCKS_GPA);
	/* And the index went backwards: broken, until the driver resets it. */
	fake_driver_kick(&driver, REPORT_Q);
	ck_assert_uint_ne(status() & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
	fake_driver_start(&driver, V1 | REPORTING, 3, SIZE);
	ck_assert_uint_eq(report(&(struct gpa_range){BLOCKS_GPA, BLOCK}, 1), BLOCK);
}
END_TEST

START_TEST(a_queue_that_was_not_negotiated)
{
	struct vring_used_elem element;

	fake_driver_start(&driver, V1, 3, SIZE);
	fake_queue_add(ring, &(struct gpa_range){BLOCKS_GPA, BLOCK}, 1, 0);
	fake_driver_kick(&driver, REPORT_Q);
	ck_assert(!fake_queue_used(ring, &element));
	ck_assert_uint_eq(hook.calls, 0);
	ck_assert_uint_ne(status() & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
}
END_TEST

/* --- the rest of a balloon ------------------------------------------------------------------- */

START_TEST(inflating_and_deflating_do_nothing_yet)
{
	struct vring_used_elem element;
	uint32_t *pfn = fake_driver_at(&driver, AT(0), K(1));

	fill(AT(1), K(1));
	pfn[0] = AT(1) >> 12;
	for (unsigned int queue = INFLATE_Q; queue <= DEFLATE_Q; queue++) {
		fake_queue_add(&driver.queue[queue], &(struct gpa_range){AT(0), 4}, 1, 1);
		fake_driver_kick(&driver, queue);
		ck_assert(fake_queue_used(&driver.queue[queue], &element));
		ck_assert_uint_eq(element.len, 0);
	}
	ck_assert(holds(AT(1), K(1), GUEST));
	ck_assert_uint_eq(hook.calls, 0);
	COUNTED(reports, 0);
}
END_TEST

START_TEST(configuration_space)
{
	const uint32_t pages = (LOW_END + HIGH_END - HIGH_GPA) / (4 * KIB);
	uint64_t wide;
	uint8_t byte = 0xff;

	for (uint64_t offset = 0; offset < 32; offset += 4) {
		ck_assert_uint_eq(fake_driver_get(&driver, 0x100 + offset), 0);
		fake_driver_set(&driver, 0x100 + offset, 1000);
		/* `actual` alone is the driver's. */
		ck_assert_uint_eq(fake_driver_get(&driver, 0x100 + offset), offset == 4 ? 1000 : 0);
	}
	fake_driver_set(&driver, 0x104, pages);
	ck_assert_uint_eq(fake_driver_get(&driver, 0x104), pages);
	fake_driver_set(&driver, 0x104, pages + 1);
	ck_assert_uint_eq(fake_driver_get(&driver, 0x104), pages);
	fake_driver_set(&driver, 0x104, 0);
	virtio_mmio_write(&driver.mmio, 0x105, &byte, 1);
	ck_assert_uint_eq(fake_driver_get(&driver, 0x104), pages < 0xff00 ? pages : 0xff00);
	virtio_mmio_read(&driver.mmio, 0x10c, &wide, 8);
	ck_assert_uint_eq(wide, 0);
	wide = ~0ULL;
	virtio_mmio_write(&driver.mmio, 0x10c, &wide, 8);
	virtio_mmio_write(&driver.mmio, 0x1000 - 8, &wide, 8);
	virtio_mmio_write(&driver.mmio, 0x100, &wide, 8);
	virtio_mmio_read(&driver.mmio, 0x100, &wide, 8);
	ck_assert_uint_eq(wide, (uint64_t)pages << 32);
	fake_driver_set(&driver, VIRTIO_MMIO_STATUS, 0);
	ck_assert_uint_eq(fake_driver_get(&driver, 0x104), 0);
}
END_TEST

/* --- a reset while a report is in flight ----------------------------------------------------- */

static atomic_bool reset_done;

static void *worker(void *unused)
{
	(void)unused;
	virtio_mmio_work(&driver.mmio);
	return NULL;
}

static void *resetter(void *unused)
{
	(void)unused;
	fake_driver_set(&driver, VIRTIO_MMIO_STATUS, 0);
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
		if (pthread_mutex_trylock(&driver.mmio.next) == EBUSY)
			return;
		pthread_mutex_unlock(&driver.mmio.next);
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
	fake_driver_set(&driver, VIRTIO_MMIO_QUEUE_NOTIFY, REPORT_Q);
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
	COUNTED(reports, 1);			/* and the one behind it not begun */

	hook.blocks = false;
	virtio_mmio_work(&driver.mmio);
	fake_driver_work(&driver);
	ck_assert_uint_eq(hook.calls, 1);
	ck_assert(holds(RINGS_GPA + REPORT_Q * RINGS_SIZE + 32 * KIB, 4 * KIB, 0xee));
	ck_assert_uint_eq(fake_driver_get(&driver, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
}
END_TEST

Suite *balloon_suite(void);
Suite *balloon_suite(void)
{
	Suite *suite = suite_create("balloon");
	TCase *tcase = tcase_create("reporting");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, reporting_is_offered);
	tcase_add_test(tcase, a_full_report);
	tcase_add_test(tcase, report_after_report);
	tcase_add_test(tcase, many_chains_at_one_doorbell);
	tcase_add_loop_test(tcase, the_used_length_is_a_promise, 0,
			    sizeof(promises) / sizeof(promises[0]));
	tcase_add_test(tcase, a_used_length_has_32_bits);
	tcase_add_test(tcase, a_readable_block_is_refused);
	tcase_add_test(tcase, a_guest_may_report_its_own_rings);
	tcase_add_test(tcase, a_queue_that_was_not_negotiated);
	tcase_add_test(tcase, inflating_and_deflating_do_nothing_yet);
	tcase_add_test(tcase, configuration_space);
	tcase_add_test(tcase, a_reset_waits_for_the_report_in_flight);
	tcase_set_timeout(tcase, 30);
	suite_add_tcase(suite, tcase);

	tcase = tcase_create("without reporting");
	tcase_add_checked_fixture(tcase, setup_without_reporting, teardown);
	tcase_add_test(tcase, reporting_is_not_offered);
	tcase_add_test(tcase, inflating_and_deflating_do_nothing_yet);
	suite_add_tcase(suite, tcase);
	return suite;
}
