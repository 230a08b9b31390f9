// SPDX-License-Identifier: Apache-2.0
/*
 * A guest that keeps its VMM as busy as it can, with all of its CPUs, from one byte of the host's to
 * the next, a few times. Its own memory stays as it was, and its device works afterwards. The host's
 * side: test_overload.py
 */
#include "virtio.h"

#define GUARD	(4 * MIB)
#define NUMBERS (64 * MIB) /* of page numbers, in one chain: 16 million */
#define TIMES	3

static struct queue inflate, reporting;
static struct device dev;
static volatile bool busy, beside_runs, beside_acts;

/* Where the page numbers lie, all of which name one page beyond them. */
static uint64_t numbers(void)
{
	return memory_free() + GUARD;
}

static bool start(void)
{
	if (!device_find(&dev) || !device_negotiate(&dev, FEATURE_VERSION_1 | FEATURE_REPORTING))
		return false;
	queue_place(&dev, QUEUE_INFLATE, &inflate);
	queue_place(&dev, QUEUE_REPORTING, &reporting);
	device_write(&dev, REG_STATUS, device_read(&dev, REG_STATUS) | STATUS_DRIVER_OK);
	return true;
}

/* --- what the CPUs do while they are busy --------------------------------------------------------- */

static void ring_doorbells(unsigned int i)
{
	queue_notify(&dev, i % 8);
}

static void compute(unsigned int i)
{
	(void)i;
	for (volatile unsigned int n = 0; n < 100000; n++)
		;
}

/* Every width, all over the configuration space and beyond. */
static void write_config(unsigned int i)
{
	uint64_t at = dev.base + REG_CONFIG + i % 64;
	switch (i % 3) {
	case 0:
		*(volatile uint8_t *)at = i;
		break;
	case 1:
		*(volatile uint16_t *)at = i * 0x101;
		break;
	default:
		mmio_write32(at & ~3ULL, i * 0x1010101);
	}
}

/* Places the reporting queue anew while it is asked to work: where it is, or where no RAM is. */
static void move_rings(unsigned int i)
{
	static const uint64_t place[] = {HOLE, -4096ULL, 0, 0xfee00000};
	const struct block block = {numbers() + NUMBERS, PAGE};

	queue_add(&reporting, &block, 1, DESC_WRITE);
	queue_notify(&dev, QUEUE_REPORTING);
	device_write(&dev, REG_QUEUE_SELECT, QUEUE_REPORTING);
	for (unsigned int reg = REG_QUEUE_DESC; reg <= REG_QUEUE_USED; reg += 0x10)
		device_write(&dev, reg, i % 5 ? (uint64_t)&reporting : place[i % 4]);
	device_write(&dev, REG_QUEUE_READY, i % 2);
	device_write(&dev, REG_DRIVER_FEATURES, i);
	if (device_read(&dev, REG_STATUS) & STATUS_NEEDS_RESET)
		start();
}

static void (*volatile act)(unsigned int i);

static void beside(void)
{
	for (unsigned int i = 0;; i++) {
		while (!busy)
			__asm__ volatile("pause");
		beside_acts = true;
		fence(); /* the other CPU sees this, or we see that it is no longer busy */
		if (busy) {
			beside_runs = true;
			act(i);
		}
		beside_acts = false;
	}
}

/* --- the course of a test ------------------------------------------------------------------------- */

static void expect_works(void)
{
	const struct block good = {numbers() + NUMBERS, PAGE};
	uint32_t len;

	fill(good.gpa, good.len);
	if (!start() || !report(&dev, &reporting, &good, 1, &len))
		return;
	CHECK(len == good.len && is_zero(good.gpa, good.len), "used length %x", len);
	CHECK(is_filled(memory_free(), GUARD), "memory lost its content");
}

static void inflate_again(void)
{
	const struct block block = {numbers(), NUMBERS};
	bool answered = inflate.used.index != inflate.seen;

	/* Not queue_take(), which waits: the other CPU may have begun with empty queues meanwhile. */
	if (answered)
		inflate.seen++;
	if (answered || inflate.avail.index == inflate.seen) {
		queue_add(&inflate, &block, 1, 0);
		queue_notify(&dev, QUEUE_INFLATE);
	}
}

/* Both CPUs do @what from byte to byte, and the worker has page numbers to go through if @inflating. */
static void overload(void (*what)(unsigned int i), bool inflating)
{
	fill(memory_free(), GUARD);
	for (uint64_t at = numbers(); inflating && at < numbers() + NUMBERS; at += 4)
		*(volatile uint32_t *)at = (numbers() + NUMBERS) / PAGE;
	if (!start())
		return;
	act = what;
	CHECK(cpu1_run(beside), "the second CPU does not start");
	for (unsigned int time = 0; time < TIMES; time++) {
		wait_for_host("quiet");
		busy = true;
		print("busy\n");
		for (unsigned int i = 0; i % 64 || !host_sent(); i++) {
			if (inflating)
				inflate_again();
			act(i);
		}
		busy = false;
		fence();
		/* What it is in the middle of would be done to a device that works again. */
		WAIT_FOR(!beside_acts, "the second CPU does not come to an end");
	}
	CHECK(beside_runs, "the second CPU did nothing");
	device_reset(&dev);
	expect_works();
}

static void test_compute(void)
{
	overload(compute, false);
}

static void test_doorbells(void)
{
	overload(ring_doorbells, false);
}

static void test_numbers(void)
{
	overload(compute, true);
}

static void test_config(void)
{
	overload(write_config, true);
}

static void test_moved(void)
{
	overload(move_rings, true);
}

const struct test tests[] = {
	{"compute", test_compute}, {"doorbells", test_doorbells}, {"numbers", test_numbers},
	{"config", test_config},   {"moved", test_moved},	  {0},
};
