// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <linux/virtio_mmio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/toy.h"

/* --- as an attacker would -------------------------------------------------------------------- */

static const struct {
	const char *name;
	uint64_t features;
} refusals[] = {
	{"none", 0},
	{"no VERSION_1", 1ULL << 3},
	{"one not offered", V1 | 1ULL << 4},
	{"one not offered, of the transport", V1 | 1ULL << VIRTIO_F_RING_PACKED},
	{"all", ~0ULL},
};

START_TEST(features_are_refused)
{
	ck_assert_msg(fake_driver_negotiate(&driver, refusals[_i].features) == (ACK | DRIVER), "%s",
		      refusals[_i].name);
	ck_assert_uint_eq(toy.dev.features, 0);
	fake_driver_queue(&driver, 0, SIZE);
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_QUEUE_READY), 0);
	fake_driver_ok(&driver);
	ck_assert_uint_eq(status(), ACK | DRIVER);
	ck_assert_uint_eq(toy.activated, 0);
}
END_TEST

START_TEST(features_are_fixed_once_agreed)
{
	fake_driver_negotiate(&driver, V1);
	toy_set(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	toy_set(VIRTIO_MMIO_DRIVER_FEATURES, 1 << 3);
	toy_set(VIRTIO_MMIO_STATUS, ACK | DRIVER | FEATURES_OK);
	fake_driver_ok(&driver);
	ck_assert_uint_eq(toy.features_at_activate, V1);
}
END_TEST

START_TEST(features_have_two_words_only)
{
	toy_set(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 2);
	toy_set(VIRTIO_MMIO_DRIVER_FEATURES, 0xffffffff);
	ck_assert_uint_eq(driver.mmio.core.driver_features, 0);
}
END_TEST

START_TEST(only_a_reset_clears_a_status_bit)
{
	fake_driver_start(&driver, V1, 1, SIZE);
	const uint32_t all = ACK | DRIVER | FEATURES_OK | OK;
	ck_assert_uint_eq(status(), all);
	for (uint32_t bit = 1; bit <= OK << 1; bit <<= 1) {
		toy_set(VIRTIO_MMIO_STATUS, all & ~bit);
		ck_assert_uint_eq(status(), all);
	}
	/* Bits that mean nothing, and one that is not the driver's. */
	toy_set(VIRTIO_MMIO_STATUS, all | 0xffffff30);
	toy_set(VIRTIO_MMIO_STATUS, all | NEEDS_RESET);
	ck_assert_uint_eq(status(), all);
	ck_assert_uint_eq(toy.activated, 1);
	toy_set(VIRTIO_MMIO_STATUS, 0x100);
	ck_assert_uint_eq(status(), all);
}
END_TEST

START_TEST(driver_ok_needs_features_ok)
{
	toy_set(VIRTIO_MMIO_STATUS, ACK | DRIVER | OK);
	ck_assert_uint_eq(status(), ACK | DRIVER);
	/* Not both at once either: the driver has to see that they were accepted. */
	toy_set(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	toy_set(VIRTIO_MMIO_DRIVER_FEATURES, V1 >> 32);
	toy_set(VIRTIO_MMIO_STATUS, ACK | DRIVER | FEATURES_OK | OK);
	ck_assert_uint_eq(status(), ACK | DRIVER | FEATURES_OK);
	ck_assert_uint_eq(toy.activated, 0);
}
END_TEST

START_TEST(a_driver_that_gave_up_is_left_alone)
{
	fake_driver_start(&driver, V1, 1, SIZE);
	unsigned int worked = toy.worked;
	toy_set(VIRTIO_MMIO_STATUS, status() | FAILED);
	chain_add(0);
	fake_driver_kick(&driver, 0);
	fake_driver_spurious(&driver);
	ck_assert_uint_eq(toy.worked, worked);
}
END_TEST

/* Every register of a queue, tried in a state where it must not change. */
static void queue_cannot_move(void)
{
	struct virtq before = toy.dev.queue[0];

	toy_set(VIRTIO_MMIO_QUEUE_SEL, 0);
	toy_set(VIRTIO_MMIO_QUEUE_NUM, 4);
	for (uint64_t offset = VIRTIO_MMIO_QUEUE_DESC_LOW; offset <= VIRTIO_MMIO_QUEUE_USED_HIGH;
	     offset += 4)
		toy_set(offset, 0x12345670);
	ck_assert_mem_eq(&toy.dev.queue[0], &before, sizeof(before));
}

START_TEST(a_queue_cannot_be_moved)
{
	queue_cannot_move(); /* before features are agreed upon */
	fake_driver_negotiate(&driver, V1);
	fake_driver_queue(&driver, 0, SIZE);
	queue_cannot_move(); /* while it is ready */
	toy_set(VIRTIO_MMIO_QUEUE_READY, 1);
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_QUEUE_READY), 1);
	fake_driver_ok(&driver);
	queue_cannot_move(); /* while the device runs */
	toy_set(VIRTIO_MMIO_QUEUE_READY, 0);
	queue_cannot_move(); /* stopped, but the device still runs */
}
END_TEST

START_TEST(a_queue_that_is_not_there)
{
	const uint32_t numbers[] = {
		2, VIRTIO_QUEUES_MAX - 1, VIRTIO_QUEUES_MAX, 0x10000, 0x80000000, 0xffffffff};

	fake_driver_negotiate(&driver, V1);
	for (unsigned int i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		fake_driver_addresses(&driver, 0, SIZE);
		toy_set(VIRTIO_MMIO_QUEUE_SEL, numbers[i]);
		ck_assert_uint_eq(toy_get(VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
		toy_set(VIRTIO_MMIO_QUEUE_NUM, SIZE);
		toy_set(VIRTIO_MMIO_QUEUE_DESC_LOW, 0x5000);
		toy_set(VIRTIO_MMIO_QUEUE_READY, 1);
		ck_assert_uint_eq(toy_get(VIRTIO_MMIO_QUEUE_READY), 0);
	}
	ck_assert_uint_eq(status(), ACK | DRIVER | FEATURES_OK);
	fake_driver_ok(&driver);
	toy_set(VIRTIO_MMIO_QUEUE_NOTIFY, 0xffffffff);
	fake_driver_work(&driver);
	ck_assert_uint_eq(toy.worked, 0);
}
END_TEST

/* The table of such set-ups is in test_queue.c: here, what becomes of one. */
START_TEST(a_notification_of_no_queue)
{
	const uint32_t numbers[] = {2, VIRTIO_QUEUES_MAX, 31, 32, 0x10000, 0x80000000, 0xffffffff};

	fake_driver_start(&driver, V1, 2, SIZE);
	chain_add(0);
	for (unsigned int i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		toy_set(VIRTIO_MMIO_QUEUE_NOTIFY, numbers[i]);
		ck_assert_uint_eq(atomic_load(&driver.deferred), 0);
		virtio_core_work(&driver.mmio.core, numbers[i]);
	}
	ck_assert_uint_eq(chains_done(0), 0);
}
END_TEST

START_TEST(a_bad_queue_needs_a_reset)
{
	fake_driver_negotiate(&driver, V1);
	fake_driver_addresses(&driver, 0, SIZE);
	toy_set(VIRTIO_MMIO_QUEUE_USED_HIGH, 1);
	toy_set(VIRTIO_MMIO_QUEUE_READY, 1);
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_QUEUE_READY), 0);
	ck_assert_uint_eq(status(), ACK | DRIVER | FEATURES_OK | NEEDS_RESET);
	/* It does not run whatever the driver says. */
	fake_driver_ok(&driver);
	fake_driver_kick(&driver, 0);
	ck_assert_uint_eq(toy.activated, 0);
	ck_assert_uint_eq(toy.worked, 0);
	fake_driver_start(&driver, V1, 1, SIZE);
	ck_assert_uint_eq(status(), ACK | DRIVER | FEATURES_OK | OK);
}
END_TEST

START_TEST(a_bad_chain_needs_a_reset)
{
	struct fake_queue *ring = &driver.queue[0];

	fake_driver_start(&driver, V1, 2, SIZE);
	chain_add(0);
	fake_queue_publish(ring, SIZE);
	chain_add(1);
	fake_driver_kick(&driver, 0);
	/* The good one before it is given back, nothing after it. */
	ck_assert_uint_eq(chains_done(0), 1);
	ck_assert_uint_eq(status(), ACK | DRIVER | FEATURES_OK | OK | NEEDS_RESET);
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_INTERRUPT_STATUS),
			  VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG);

	unsigned int worked = toy.worked;
	unsigned int interrupts = atomic_load(&driver.interrupts);
	memset(ring->used, 0xee, 256);
	fake_driver_kick(&driver, 0);
	fake_driver_spurious(&driver);
	ck_assert_uint_eq(toy.worked, worked);
	ck_assert_uint_eq(atomic_load(&driver.interrupts), interrupts);
	for (unsigned int i = 0; i < 256; i++)
		ck_assert_uint_eq(((uint8_t *)ring->used)[i], 0xee);

	fake_driver_start(&driver, V1, 1, SIZE);
	chain_add(0);
	fake_driver_kick(&driver, 0);
	ck_assert_uint_eq(chains_done(0), 1);
}
END_TEST

START_TEST(every_offset_and_width)
{
	static const unsigned int widths[] = {1, 2, 4, 8};
	uint8_t data[16];

	fake_driver_start(&driver, V1, 2, SIZE);
	const struct virtio_mmio before = driver.mmio;
	for (uint64_t offset = 0; offset < VIRTIO_MMIO_SIZE; offset++) {
		for (unsigned int w = 0; w < 4; w++) {
			bool defined = offset >= 0x100 || (widths[w] == 4 && offset % 4 == 0);

			memset(data, 0xcc, sizeof(data));
			virtio_mmio_read(&driver.mmio, offset, data, widths[w]);
			for (unsigned int i = 0; i < sizeof(data); i++)
				if ((i >= widths[w] && data[i] != 0xcc) ||
				    (i < widths[w] && !defined && data[i] != 0))
					ck_abort_msg("read of %u at %#lx", widths[w], offset);

			/* All ones would not reset it by the one register that may. */
			memset(data, 0xff, sizeof(data));
			virtio_mmio_write(&driver.mmio, offset, data, widths[w]);
			if (!defined && (driver.mmio.core.status != before.core.status ||
					 driver.mmio.queue_sel != before.queue_sel))
				ck_abort_msg("write of %u at %#lx", widths[w], offset);
			memset(data, 0, sizeof(data));
			if (offset != VIRTIO_MMIO_STATUS || widths[w] != 4)
				virtio_mmio_write(&driver.mmio, offset, data, widths[w]);
			driver.mmio.queue_sel = before.queue_sel;
			driver.mmio.core.status = before.core.status;
		}
	}
}
END_TEST

static uint32_t pick(unsigned int *seed)
{
	const uint32_t values[] = {0,	       1,	    2,	       3,	   SIZE,
				   0xf,	       0x4f,	    RINGS_GPA, 0x14000,	   0x18000,
				   LOW_END,    0x80000000,  1 << 3,    0xffffffff, LOW_END - 8,
				   0x10001000, FEATURES_OK, 0xb};
	uint32_t random = rand_r(seed);
	return random % 4 ? values[random / 4 % (sizeof(values) / sizeof(values[0]))] : random;
}

/* Registers and rings at random, half of it plausible: nothing may break on our side. */
START_TEST(anything_at_any_time)
{
	static const uint32_t places[] = {
		VIRTIO_MMIO_DEVICE_FEATURES_SEL,
		VIRTIO_MMIO_DRIVER_FEATURES_SEL,
		VIRTIO_MMIO_DRIVER_FEATURES,
		VIRTIO_MMIO_QUEUE_SEL,
		VIRTIO_MMIO_QUEUE_NUM,
		VIRTIO_MMIO_QUEUE_READY,
		VIRTIO_MMIO_QUEUE_NOTIFY,
		VIRTIO_MMIO_INTERRUPT_ACK,
		VIRTIO_MMIO_STATUS,
		VIRTIO_MMIO_QUEUE_DESC_LOW,
		VIRTIO_MMIO_QUEUE_DESC_HIGH,
		VIRTIO_MMIO_QUEUE_AVAIL_LOW,
		VIRTIO_MMIO_QUEUE_AVAIL_HIGH,
		VIRTIO_MMIO_QUEUE_USED_LOW,
		VIRTIO_MMIO_QUEUE_USED_HIGH,
		0xc0,
	};
	unsigned int seed = 20200407 + _i;
	unsigned int started = 0;
	uint32_t *rings = fake_driver_at(&driver, RINGS_GPA, RINGS_SIZE);
	uint8_t data[8];

	atomic_store(&driver.mmio.core.log.lines, LOG_LIMIT_LINES); /* quiet */
	for (unsigned int i = 0; i < 20000; i++) {
		uint32_t place = places[rand_r(&seed) % (sizeof(places) / sizeof(places[0]))];
		uint32_t value = pick(&seed);

		switch (rand_r(&seed) % 64) {
		case 0: /* a device that runs, for the others to disturb */
			fake_driver_start(&driver, i % 2 ? V1 : V1 | IND, 2, SIZE);
			started++;
			break;
		case 1: /* rings full of anything */
			for (unsigned int j = 0; j < 48 * KIB / 4; j += 1 + rand_r(&seed) % 8)
				rings[j] = pick(&seed);
			break;
		case 2 ... 15:
			if (driver.queue[0].size)
				chain_add(0);
			fake_driver_kick(&driver, value);
			break;
		case 16 ... 31:
			virtio_mmio_read(&driver.mmio, rand_r(&seed) % VIRTIO_MMIO_SIZE, data,
					 1u << rand_r(&seed) % 4);
			break;
		default:
			if (place != VIRTIO_MMIO_STATUS || value != 0 || i % 16 == 0)
				toy_set(place, value);
			break;
		}
		for (unsigned int j = 0; j < 2; j++) {
			const struct virtq *q = &toy.dev.queue[j];
			if (q->ready && (q->size > q->size_max || !q->desc || !q->used))
				ck_abort_msg("queue %u is ready and should not be", j);
		}
		if ((driver.mmio.core.status & OK) && !(driver.mmio.core.status & FEATURES_OK))
			ck_abort_msg("DRIVER_OK without FEATURES_OK");
	}
	ck_assert_uint_gt(started, 100);
	ck_assert_uint_gt(toy.worked, 100);
}
END_TEST

Suite *mmio_hostile_suite(void);
Suite *mmio_hostile_suite(void)
{
	Suite *suite = suite_create("mmio, hostile");
	TCase *tcase = tcase_create("attacker");
	tcase_add_checked_fixture(tcase, toy_setup, toy_teardown);
	tcase_add_loop_test(tcase, features_are_refused, 0, sizeof(refusals) / sizeof(refusals[0]));
	tcase_add_test(tcase, features_are_fixed_once_agreed);
	tcase_add_test(tcase, features_have_two_words_only);
	tcase_add_test(tcase, only_a_reset_clears_a_status_bit);
	tcase_add_test(tcase, driver_ok_needs_features_ok);
	tcase_add_test(tcase, a_driver_that_gave_up_is_left_alone);
	tcase_add_test(tcase, a_queue_cannot_be_moved);
	tcase_add_test(tcase, a_queue_that_is_not_there);
	tcase_add_test(tcase, a_notification_of_no_queue);
	tcase_add_test(tcase, a_bad_queue_needs_a_reset);
	tcase_add_test(tcase, a_bad_chain_needs_a_reset);
	tcase_add_test(tcase, every_offset_and_width);
	tcase_add_loop_test(tcase, anything_at_any_time, 0, 4);
	suite_add_tcase(suite, tcase);
	return suite;
}
