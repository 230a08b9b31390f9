// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/unit/fake_driver.h"

#define V1	(1ULL << VIRTIO_F_VERSION_1)
#define IND	(1ULL << VIRTIO_RING_F_INDIRECT_DESC)
#define OFFERED (V1 | IND | 1ULL << 3)
#define SIZE	16

#define ACK	    VIRTIO_CONFIG_S_ACKNOWLEDGE
#define DRIVER	    VIRTIO_CONFIG_S_DRIVER
#define OK	    VIRTIO_CONFIG_S_DRIVER_OK
#define FEATURES_OK VIRTIO_CONFIG_S_FEATURES_OK
#define NEEDS_RESET VIRTIO_CONFIG_S_NEEDS_RESET
#define FAILED	    VIRTIO_CONFIG_S_FAILED

/* A device that gives every chain back as it came, and remembers what it was asked. */
struct toy {
	struct virtio_device dev;
	unsigned int activated, resets, worked;
	uint64_t features_at_activate;
	uint8_t config[8];
	bool busy;    /* always says that there may be more */
	bool blocks;  /* stops within work() until told to go on */
	sem_t within; /* it has stopped */
	sem_t go_on;
	char said[8]; /* 'w'ork and 'c'onfig, in the order they came */
	unsigned int says;
};

static struct toy toy;
static struct fake_driver driver;

static void toy_says(char what)
{
	if (toy.says < sizeof(toy.said) - 1)
		toy.said[toy.says++] = what;
}

static void toy_activate(struct virtio_device *dev)
{
	toy.activated++;
	toy.features_at_activate = dev->features;
}

static void toy_reset(struct virtio_device *dev)
{
	(void)dev;
	toy.resets++;
}

static int toy_work(struct virtio_device *dev, unsigned int queue)
{
	static struct virtq_chain chain;
	struct virtq *q = &dev->queue[queue];

	toy.worked++;
	toy_says('w');
	if (toy.blocks) {
		sem_post(&toy.within);
		sem_wait(&toy.go_on);
	}
	int popped = virtq_pop(q, &chain);
	if (popped < 0)
		return popped;
	if (popped)
		virtq_push(q, &chain, 7);
	return popped || toy.busy ? -EAGAIN : 0;
}

static void toy_config_read(struct virtio_device *dev, uint64_t offset, void *data, size_t len)
{
	(void)dev;
	toy_says('c');
	for (size_t i = 0; i < len; i++)
		((uint8_t *)data)[i] = offset + i < sizeof(toy.config) ? toy.config[offset + i] : 0;
}

static void toy_config_write(struct virtio_device *dev, uint64_t offset, const void *data,
			     size_t len)
{
	(void)dev;
	for (size_t i = 0; i < len; i++)
		if (offset + i < sizeof(toy.config))
			toy.config[offset + i] = ((const uint8_t *)data)[i];
}

static const struct virtio_device_ops toy_ops = {
	.id = 42,
	.name = "toy",
	.activate = toy_activate,
	.reset = toy_reset,
	.work = toy_work,
	.config_read = toy_config_read,
	.config_write = toy_config_write,
};

static void setup(void)
{
	fake_driver_init(&driver);
	memset(&toy, 0, sizeof(toy));
	toy.dev.ops = &toy_ops;
	toy.dev.host = &driver.host;
	toy.dev.features_offered = OFFERED;
	toy.dev.queues = 2;
	toy.dev.queue[0].size_max = SIZE;
	toy.dev.queue[1].size_max = VIRTIO_QUEUE_SIZE_MAX;
	sem_init(&toy.within, 0, 0);
	sem_init(&toy.go_on, 0, 0);
	fake_driver_plug(&driver, &toy.dev);
}

static void teardown(void)
{
	fake_driver_release(&driver);
	sem_destroy(&toy.within);
	sem_destroy(&toy.go_on);
}

static uint32_t get(uint64_t offset)
{
	return fake_driver_get(&driver, offset);
}

static void set(uint64_t offset, uint32_t value)
{
	fake_driver_set(&driver, offset, value);
}

static uint32_t status(void)
{
	return get(VIRTIO_MMIO_STATUS);
}

static void chain_add(unsigned int queue)
{
	const struct gpa_range buffer = {BLOCKS_GPA, 16};
	fake_queue_add(&driver.queue[queue], &buffer, 1, 0);
}

static unsigned int chains_done(unsigned int queue)
{
	struct vring_used_elem element;
	unsigned int n = 0;
	while (fake_queue_used(&driver.queue[queue], &element))
		n++;
	return n;
}

/* --- as a driver would ----------------------------------------------------------------------- */

START_TEST(it_says_what_it_is)
{
	ck_assert_uint_eq(get(VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
	ck_assert_uint_eq(get(VIRTIO_MMIO_VERSION), 2);
	ck_assert_uint_eq(get(VIRTIO_MMIO_DEVICE_ID), 42);
	ck_assert_uint_eq(get(VIRTIO_MMIO_CONFIG_GENERATION), 0);
	set(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	ck_assert_uint_eq(get(VIRTIO_MMIO_DEVICE_FEATURES), OFFERED >> 32);
	set(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	ck_assert_uint_eq(get(VIRTIO_MMIO_DEVICE_FEATURES), (uint32_t)OFFERED);
	set(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 2);
	ck_assert_uint_eq(get(VIRTIO_MMIO_DEVICE_FEATURES), 0);
	set(VIRTIO_MMIO_QUEUE_SEL, 0);
	ck_assert_uint_eq(get(VIRTIO_MMIO_QUEUE_NUM_MAX), SIZE);
	set(VIRTIO_MMIO_QUEUE_SEL, 1);
	ck_assert_uint_eq(get(VIRTIO_MMIO_QUEUE_NUM_MAX), VIRTIO_QUEUE_SIZE_MAX);
	/* No shared memory: a driver takes a length of all ones for "no such region". */
	set(VIRTIO_MMIO_SHM_SEL, 0);
	ck_assert_uint_eq(get(VIRTIO_MMIO_SHM_LEN_LOW), 0xffffffff);
	ck_assert_uint_eq(get(VIRTIO_MMIO_SHM_LEN_HIGH), 0xffffffff);
	ck_assert_uint_eq(get(VIRTIO_MMIO_SHM_BASE_LOW), 0xffffffff);
	ck_assert_uint_eq(get(VIRTIO_MMIO_SHM_BASE_HIGH), 0xffffffff);
}
END_TEST

START_TEST(a_driver_starts_it_and_it_works)
{
	ck_assert_uint_eq(status(), 0);
	ck_assert_uint_eq(fake_driver_negotiate(&driver, V1 | 1ULL << 3),
			  ACK | DRIVER | FEATURES_OK);
	for (unsigned int i = 0; i < 2; i++) {
		fake_driver_queue(&driver, i, SIZE);
		ck_assert_uint_eq(get(VIRTIO_MMIO_QUEUE_READY), 1);
	}
	ck_assert(!toy.dev.queue[0].indirect);
	ck_assert_uint_eq(toy.activated, 0);
	fake_driver_ok(&driver);
	ck_assert_uint_eq(status(), ACK | DRIVER | FEATURES_OK | OK);
	ck_assert_uint_eq(toy.activated, 1);
	ck_assert_uint_eq(toy.features_at_activate, V1 | 1ULL << 3);

	for (unsigned int i = 0; i < 3; i++)
		chain_add(1);
	fake_driver_kick(&driver, 1);
	ck_assert_uint_eq(chains_done(1), 3);
	ck_assert_uint_eq(chains_done(0), 0);
	ck_assert_uint_gt(atomic_load(&driver.interrupts), 0);
	ck_assert_uint_eq(get(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
	set(VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_CONFIG);
	ck_assert_uint_eq(get(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
	set(VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
	ck_assert_uint_eq(get(VIRTIO_MMIO_INTERRUPT_STATUS), 0);
}
END_TEST

START_TEST(chains_that_were_there_before_count)
{
	fake_driver_negotiate(&driver, V1);
	fake_driver_queue(&driver, 0, SIZE);
	chain_add(0);
	set(VIRTIO_MMIO_QUEUE_NOTIFY, 0); /* too early: not DRIVER_OK */
	fake_driver_work(&driver);
	ck_assert_uint_eq(toy.worked, 0);
	fake_driver_ok(&driver);
	fake_driver_work(&driver);
	ck_assert_uint_eq(chains_done(0), 1);
}
END_TEST

START_TEST(no_interrupt_where_none_is_wanted)
{
	fake_driver_start(&driver, V1, 1, SIZE);
	driver.queue[0].avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	chain_add(0);
	fake_driver_kick(&driver, 0);
	ck_assert_uint_eq(chains_done(0), 1);
	ck_assert_uint_eq(atomic_load(&driver.interrupts), 0);
	ck_assert_uint_eq(get(VIRTIO_MMIO_INTERRUPT_STATUS), 0);
}
END_TEST

START_TEST(reset_is_back_to_the_start)
{
	fake_driver_start(&driver, V1 | IND, 2, SIZE);
	ck_assert(toy.dev.queue[0].indirect);
	chain_add(0);
	fake_driver_kick(&driver, 0);
	set(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	unsigned int resets = toy.resets;

	set(VIRTIO_MMIO_STATUS, 0);
	ck_assert_uint_eq(toy.resets, resets + 1);
	ck_assert_uint_eq(status(), 0);
	ck_assert_uint_eq(toy.dev.features, 0);
	ck_assert_uint_eq(get(VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	ck_assert_uint_eq(get(VIRTIO_MMIO_DEVICE_FEATURES), (uint32_t)OFFERED);
	for (unsigned int i = 0; i < 2; i++) {
		set(VIRTIO_MMIO_QUEUE_SEL, i);
		ck_assert_uint_eq(get(VIRTIO_MMIO_QUEUE_READY), 0);
		ck_assert_uint_ne(get(VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
	}
	/* And again from there. */
	fake_driver_start(&driver, V1, 2, SIZE);
	chain_add(0);
	fake_driver_kick(&driver, 0);
	ck_assert_uint_eq(chains_done(0), 1);
}
END_TEST

/* A driver may stop a queue that runs (§4.2.2.2); starting it again would take a reset. */
START_TEST(a_queue_can_be_stopped)
{
	fake_driver_start(&driver, V1, 1, SIZE);
	set(VIRTIO_MMIO_QUEUE_SEL, 0);
	set(VIRTIO_MMIO_QUEUE_READY, 0);
	ck_assert_uint_eq(get(VIRTIO_MMIO_QUEUE_READY), 0);
	chain_add(0);
	fake_driver_kick(&driver, 0);
	ck_assert_uint_eq(chains_done(0), 0);
	set(VIRTIO_MMIO_QUEUE_READY, 1);
	ck_assert_uint_eq(get(VIRTIO_MMIO_QUEUE_READY), 0);
}
END_TEST

/* As Linux does when a later queue's set-up fails, before DRIVER_OK. */
START_TEST(a_queue_can_be_set_up_again)
{
	fake_driver_negotiate(&driver, V1);
	fake_driver_queue(&driver, 0, SIZE);
	set(VIRTIO_MMIO_QUEUE_READY, 0);
	ck_assert_uint_eq(get(VIRTIO_MMIO_QUEUE_READY), 0);
	fake_driver_queue(&driver, 0, SIZE / 2);
	ck_assert_uint_eq(get(VIRTIO_MMIO_QUEUE_READY), 1);
	ck_assert_uint_eq(toy.dev.queue[0].size, SIZE / 2);
}
END_TEST

START_TEST(configuration_space_takes_any_width)
{
	uint64_t eight = 0;

	virtio_mmio_write(&driver.mmio, 0x100, "abcdefgh", 8);
	virtio_mmio_write(&driver.mmio, 0x101, "X", 1);
	virtio_mmio_write(&driver.mmio, 0x103, "YZ", 2);
	virtio_mmio_read(&driver.mmio, 0x100, &eight, 8);
	ck_assert_mem_eq(&eight, "aXcYZfgh", 8);
	virtio_mmio_read(&driver.mmio, 0x107, &eight, 2);
	ck_assert_mem_eq(&eight, "h\0", 2);
	ck_assert_uint_eq(get(0xffc), 0);
}
END_TEST

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
	ck_assert_uint_eq(get(VIRTIO_MMIO_QUEUE_READY), 0);
	fake_driver_ok(&driver);
	ck_assert_uint_eq(status(), ACK | DRIVER);
	ck_assert_uint_eq(toy.activated, 0);
}
END_TEST

START_TEST(features_are_fixed_once_agreed)
{
	fake_driver_negotiate(&driver, V1);
	set(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	set(VIRTIO_MMIO_DRIVER_FEATURES, 1 << 3);
	set(VIRTIO_MMIO_STATUS, ACK | DRIVER | FEATURES_OK);
	fake_driver_ok(&driver);
	ck_assert_uint_eq(toy.features_at_activate, V1);
}
END_TEST

START_TEST(features_have_two_words_only)
{
	set(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 2);
	set(VIRTIO_MMIO_DRIVER_FEATURES, 0xffffffff);
	ck_assert_uint_eq(driver.mmio.driver_features, 0);
}
END_TEST

START_TEST(only_a_reset_clears_a_status_bit)
{
	fake_driver_start(&driver, V1, 1, SIZE);
	const uint32_t all = ACK | DRIVER | FEATURES_OK | OK;
	ck_assert_uint_eq(status(), all);
	for (uint32_t bit = 1; bit <= OK << 1; bit <<= 1) {
		set(VIRTIO_MMIO_STATUS, all & ~bit);
		ck_assert_uint_eq(status(), all);
	}
	/* Bits that mean nothing, and one that is not the driver's. */
	set(VIRTIO_MMIO_STATUS, all | 0xffffff30);
	set(VIRTIO_MMIO_STATUS, all | NEEDS_RESET);
	ck_assert_uint_eq(status(), all);
	ck_assert_uint_eq(toy.activated, 1);
	set(VIRTIO_MMIO_STATUS, 0x100);
	ck_assert_uint_eq(status(), all);
}
END_TEST

START_TEST(driver_ok_needs_features_ok)
{
	set(VIRTIO_MMIO_STATUS, ACK | DRIVER | OK);
	ck_assert_uint_eq(status(), ACK | DRIVER);
	/* Not both at once either: the driver has to see that they were accepted. */
	set(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	set(VIRTIO_MMIO_DRIVER_FEATURES, V1 >> 32);
	set(VIRTIO_MMIO_STATUS, ACK | DRIVER | FEATURES_OK | OK);
	ck_assert_uint_eq(status(), ACK | DRIVER | FEATURES_OK);
	ck_assert_uint_eq(toy.activated, 0);
}
END_TEST

START_TEST(a_driver_that_gave_up_is_left_alone)
{
	fake_driver_start(&driver, V1, 1, SIZE);
	unsigned int worked = toy.worked;
	set(VIRTIO_MMIO_STATUS, status() | FAILED);
	chain_add(0);
	fake_driver_kick(&driver, 0);
	virtio_mmio_work(&driver.mmio);
	ck_assert_uint_eq(toy.worked, worked);
}
END_TEST

/* Every register of a queue, tried in a state where it must not change. */
static void queue_cannot_move(void)
{
	struct virtq before = toy.dev.queue[0];

	set(VIRTIO_MMIO_QUEUE_SEL, 0);
	set(VIRTIO_MMIO_QUEUE_NUM, 4);
	for (uint64_t offset = VIRTIO_MMIO_QUEUE_DESC_LOW; offset <= VIRTIO_MMIO_QUEUE_USED_HIGH;
	     offset += 4)
		set(offset, 0x12345670);
	ck_assert_mem_eq(&toy.dev.queue[0], &before, sizeof(before));
}

START_TEST(a_queue_cannot_be_moved)
{
	queue_cannot_move(); /* before features are agreed upon */
	fake_driver_negotiate(&driver, V1);
	fake_driver_queue(&driver, 0, SIZE);
	queue_cannot_move(); /* while it is ready */
	set(VIRTIO_MMIO_QUEUE_READY, 1);
	ck_assert_uint_eq(get(VIRTIO_MMIO_QUEUE_READY), 1);
	fake_driver_ok(&driver);
	queue_cannot_move(); /* while the device runs */
	set(VIRTIO_MMIO_QUEUE_READY, 0);
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
		set(VIRTIO_MMIO_QUEUE_SEL, numbers[i]);
		ck_assert_uint_eq(get(VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
		set(VIRTIO_MMIO_QUEUE_NUM, SIZE);
		set(VIRTIO_MMIO_QUEUE_DESC_LOW, 0x5000);
		set(VIRTIO_MMIO_QUEUE_READY, 1);
		ck_assert_uint_eq(get(VIRTIO_MMIO_QUEUE_READY), 0);
	}
	ck_assert_uint_eq(status(), ACK | DRIVER | FEATURES_OK);
	fake_driver_ok(&driver);
	set(VIRTIO_MMIO_QUEUE_NOTIFY, 0xffffffff);
	fake_driver_work(&driver);
	ck_assert_uint_eq(toy.worked, 0);
}
END_TEST

/* The table of such set-ups is in test_queue.c: here, what becomes of one. */
START_TEST(a_bad_queue_needs_a_reset)
{
	fake_driver_negotiate(&driver, V1);
	fake_driver_addresses(&driver, 0, SIZE);
	set(VIRTIO_MMIO_QUEUE_USED_HIGH, 1);
	set(VIRTIO_MMIO_QUEUE_READY, 1);
	ck_assert_uint_eq(get(VIRTIO_MMIO_QUEUE_READY), 0);
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
	ck_assert_uint_eq(get(VIRTIO_MMIO_INTERRUPT_STATUS),
			  VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG);

	unsigned int worked = toy.worked;
	unsigned int interrupts = atomic_load(&driver.interrupts);
	memset(ring->used, 0xee, 256);
	fake_driver_kick(&driver, 0);
	virtio_mmio_work(&driver.mmio);
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
			if (!defined && (driver.mmio.status != before.status ||
					 driver.mmio.queue_sel != before.queue_sel))
				ck_abort_msg("write of %u at %#lx", widths[w], offset);
			memset(data, 0, sizeof(data));
			if (offset != VIRTIO_MMIO_STATUS || widths[w] != 4)
				virtio_mmio_write(&driver.mmio, offset, data, widths[w]);
			driver.mmio.queue_sel = before.queue_sel;
			driver.mmio.status = before.status;
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

	atomic_store(&driver.mmio.log.lines, LOG_LIMIT_LINES); /* quiet */
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
				set(place, value);
			break;
		}
		for (unsigned int j = 0; j < 2; j++) {
			const struct virtq *q = &toy.dev.queue[j];
			if (q->ready && (q->size > q->size_max || !q->desc || !q->used))
				ck_abort_msg("queue %u is ready and should not be", j);
		}
		if ((driver.mmio.status & OK) && !(driver.mmio.status & FEATURES_OK))
			ck_abort_msg("DRIVER_OK without FEATURES_OK");
	}
	ck_assert_uint_gt(started, 100);
	ck_assert_uint_gt(toy.worked, 100);
}
END_TEST

/* --- two threads ----------------------------------------------------------------------------- */

static bool done;

static void *worker(void *unused)
{
	(void)unused;
	while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE))
		if (atomic_exchange(&driver.deferred, 0))
			virtio_mmio_work(&driver.mmio);
		else
			sched_yield();
	return NULL;
}

static void *config_reader(void *unused)
{
	(void)unused;
	get(VIRTIO_MMIO_CONFIG);
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

/* A device that never runs out of work, and a vCPU that wants a word with it: it goes first. */
START_TEST(a_vcpu_does_not_starve)
{
	pthread_t working, reading;

	fake_driver_start(&driver, V1, 1, SIZE);
	toy.says = 0;
	toy.busy = true;
	toy.blocks = true;
	done = false;
	set(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	ck_assert_int_eq(pthread_create(&working, NULL, worker, NULL), 0);
	sem_wait(&toy.within); /* it has the device */
	ck_assert_int_eq(pthread_create(&reading, NULL, config_reader, NULL), 0);
	await_waiter();
	/* Other registers do not wait. */
	ck_assert_uint_eq(get(VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	sem_post(&toy.go_on);
	sem_wait(&toy.within); /* it has it again */
	__atomic_store_n(&done, true, __ATOMIC_RELEASE);
	sem_post(&toy.go_on);
	pthread_join(working, NULL);
	pthread_join(reading, NULL);
	ck_assert_int_eq(strncmp(toy.said, "wcw", 3), 0);
}
END_TEST

static void *vcpu(void *unused)
{
	unsigned int seed = 1;
	(void)unused;
	for (unsigned int i = 0; i < 500; i++) {
		fake_driver_start(&driver, V1, 1, SIZE);
		for (unsigned int j = rand_r(&seed) % 8; j > 0; j--) {
			chain_add(0);
			set(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
		}
		get(VIRTIO_MMIO_CONFIG);
		set(VIRTIO_MMIO_STATUS, 0);
		/* After the reset its memory is the driver's own. */
		memset(driver.queue[0].used, 0xee, 256);
		sched_yield();
		for (unsigned int j = 0; j < 256; j++)
			if (((uint8_t *)driver.queue[0].used)[j] != 0xee)
				return "written to after a reset";
	}
	return NULL;
}

START_TEST(resets_while_it_works)
{
	pthread_t working, running;
	void *wrong;

	done = false;
	ck_assert_int_eq(pthread_create(&working, NULL, worker, NULL), 0);
	ck_assert_int_eq(pthread_create(&running, NULL, vcpu, NULL), 0);
	pthread_join(running, &wrong);
	__atomic_store_n(&done, true, __ATOMIC_RELEASE);
	pthread_join(working, NULL);
	ck_assert_msg(!wrong, "%s", (char *)wrong);
	ck_assert_uint_gt(toy.worked, 0);
}
END_TEST

Suite *mmio_suite(void);
Suite *mmio_suite(void)
{
	Suite *suite = suite_create("mmio");
	TCase *tcase = tcase_create("driver");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, it_says_what_it_is);
	tcase_add_test(tcase, a_driver_starts_it_and_it_works);
	tcase_add_test(tcase, chains_that_were_there_before_count);
	tcase_add_test(tcase, no_interrupt_where_none_is_wanted);
	tcase_add_test(tcase, reset_is_back_to_the_start);
	tcase_add_test(tcase, a_queue_can_be_stopped);
	tcase_add_test(tcase, a_queue_can_be_set_up_again);
	tcase_add_test(tcase, configuration_space_takes_any_width);
	suite_add_tcase(suite, tcase);

	tcase = tcase_create("attacker");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, features_are_refused, 0, sizeof(refusals) / sizeof(refusals[0]));
	tcase_add_test(tcase, features_are_fixed_once_agreed);
	tcase_add_test(tcase, features_have_two_words_only);
	tcase_add_test(tcase, only_a_reset_clears_a_status_bit);
	tcase_add_test(tcase, driver_ok_needs_features_ok);
	tcase_add_test(tcase, a_driver_that_gave_up_is_left_alone);
	tcase_add_test(tcase, a_queue_cannot_be_moved);
	tcase_add_test(tcase, a_queue_that_is_not_there);
	tcase_add_test(tcase, a_bad_queue_needs_a_reset);
	tcase_add_test(tcase, a_bad_chain_needs_a_reset);
	tcase_add_test(tcase, every_offset_and_width);
	tcase_add_loop_test(tcase, anything_at_any_time, 0, 4);
	tcase_set_timeout(tcase, 30);
	suite_add_tcase(suite, tcase);

	tcase = tcase_create("threads");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_vcpu_does_not_starve);
	tcase_add_test(tcase, resets_while_it_works);
	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	return suite;
}
