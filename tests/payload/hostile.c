// SPDX-License-Identifier: Apache-2.0
/* A driver that means harm, for a bounded time; the device outlives it. The host's side: test_hostile.py */
#include "virtio.h"

#define AREA   (8 * MIB)
#define RINGS  5000
#define ROUNDS 5000

static struct queue queue;
static struct device dev;
static uint64_t state = 0x2545f4914f6cdd1d;

/* The same numbers in every run (xorshift). */
static uint32_t random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state >> 32;
}

static void flood(uint64_t rings)
{
	for (uint64_t i = 0; i < rings; i++)
		queue_notify(&dev, i % 8);
}

static void expect_works(void)
{
	const struct block good = {memory_free() + AREA, 2 * MIB};
	uint32_t len;
	fill(good.gpa, good.len);
	if (!reporting_start(&dev, &queue) || !report(&dev, &queue, &good, 1, &len))
		return;
	CHECK(len == good.len && is_zero(good.gpa, good.len), "used length %x", len);
}

/* The doorbell, at each step of a start that never sets a queue up. */
static void test_unready(void)
{
	uint64_t rings = parameter_number("rings", RINGS);
	if (!device_find(&dev))
		return;
	device_reset(&dev);
	flood(rings);
	if (!device_negotiate(&dev, FEATURE_VERSION_1 | FEATURE_REPORTING))
		return;
	flood(rings);
	device_write(&dev, REG_STATUS, device_read(&dev, REG_STATUS) | STATUS_DRIVER_OK);
	flood(rings);
	CHECK(!(device_read(&dev, REG_STATUS) & STATUS_NEEDS_RESET), "status %x",
	      device_read(&dev, REG_STATUS));
	expect_works();
}

/* The doorbell with a queue that is empty, and between reports. */
static void test_flood(void)
{
	const struct block block = {memory_free(), 2 * MIB};
	uint64_t rings = parameter_number("rings", RINGS);
	uint32_t len;
	if (!reporting_start(&dev, &queue))
		return;
	for (unsigned int i = 0; i < 10; i++) {
		flood(rings / 10);
		if (!report(&dev, &queue, &block, 1, &len))
			return;
		CHECK(len == block.len, "used length %x", len);
	}
}

/* Anything into any register, of any width. */
static void test_registers(void)
{
	if (!reporting_start(&dev, &queue))
		return;
	for (uint64_t i = parameter_number("rounds", ROUNDS); i > 0; i--) {
		uint64_t at = dev.base + (random() & 0x1fc);
		uint32_t value = random() % 4 ? random() % 256 : random();
		switch (random() % 8) {
		case 0:
			*(volatile uint8_t *)at = value;
			break;
		case 1:
			*(volatile uint16_t *)(at + random() % 3) = value;
			break;
		case 2:
			store64(at & ~7ULL, value);
			break;
		case 3:
			mmio_read32(at);
			break;
		default:
			mmio_write32(at, value);
		}
	}
	CHECK(device_read(&dev, REG_MAGIC) == 0x74726976, "the device is gone");
	expect_works();
}

/*
 * Anything into the rings while the device works on them. Blocks lie in an area of their own, or
 * outside RAM: a guest that reports its own code as free is a test of nothing.
 */
static void test_rings(void)
{
	if (!reporting_start(&dev, &queue))
		return;
	for (uint64_t i = parameter_number("rounds", ROUNDS); i > 0; i--) {
		volatile struct desc *desc = &queue.desc[random() % QUEUE_SIZE];
		uint64_t offset = random() % AREA;
		desc->gpa = random() % 8 ? memory_free() + offset : HOLE + 256 * MIB + offset;
		desc->len = random() % (AREA - offset);
		desc->flags = random() % 4 ? DESC_WRITE | (random() & DESC_NEXT) : random();
		desc->next = random() % 16 ? random() % QUEUE_SIZE : random();
		queue.avail.ring[random() % QUEUE_SIZE] =
			random() % 64 ? random() % QUEUE_SIZE : random();
		queue.avail.index += random() % 64 ? random() % 2 : random();
		queue_notify(&dev, QUEUE_REPORTING);
		if (i % 16 == 0 && (device_read(&dev, REG_STATUS) & STATUS_NEEDS_RESET) &&
		    !reporting_start(&dev, &queue))
			return;
	}
	expect_works();
}

const struct test tests[] = {
	{"unready", test_unready},
	{"flood", test_flood},
	{"registers", test_registers},
	{"rings", test_rings},
	{0},
};
