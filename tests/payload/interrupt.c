// SPDX-License-Identifier: Apache-2.0
/* The device's interrupt, with an I/O APIC and a handler. The host's side: test_interrupt.py */
#include "virtio.h"

static struct queue queue;
static struct device dev;

static bool start(struct block *block)
{
	*block = (struct block){memory_free(), 2 * MIB};
	if (!device_find(&dev))
		return false;
	interrupt_enable(dev.gsi);
	return reporting_start(&dev, &queue);
}

static void test_arrives(void)
{
	struct block block;
	uint32_t len;

	if (!start(&block))
		return;
	CHECK(interrupts == 0, "%u interrupts before any report", interrupts);
	for (unsigned int i = 1; i <= 100; i++) {
		if (!report(&dev, &queue, &block, 1, &len))
			return;
		WAIT_FOR(interrupts >= i, "report %u: %u interrupts", i, interrupts);
		CHECK(device_read(&dev, REG_INTERRUPT_STATUS) == INTERRUPT_USED,
		      "report %u: interrupt status %x", i, device_read(&dev, REG_INTERRUPT_STATUS));
		device_write(&dev, REG_INTERRUPT_ACK, INTERRUPT_USED);
		CHECK(device_read(&dev, REG_INTERRUPT_STATUS) == 0, "not acknowledged: %x",
		      device_read(&dev, REG_INTERRUPT_STATUS));
		CHECK(interrupts == i, "report %u: %u interrupts", i, interrupts);
	}
}

/*
 * However long its handler takes: the host's own timer falls into that. A host that counts ticks every 4 ms, and a tick
 * of the guest's clock is 1 ns there.
 */
static void test_once(void)
{
	struct block block;
	uint32_t len;

	if (!start(&block))
		return;
	interrupt_length = 5000000;
	for (unsigned int i = 1; i <= 20; i++) {
		if (!report(&dev, &queue, &block, 1, &len))
			return;
		WAIT_FOR(interrupts >= i, "report %u: %u interrupts", i, interrupts);
		device_write(&dev, REG_INTERRUPT_ACK, INTERRUPT_USED);
		CHECK(interrupts == i && interrupts_nested == 0,
		      "report %u: %u interrupts, %u of them nested", i, interrupts,
		      interrupts_nested);
	}
}

static void test_not_wanted(void)
{
	struct block block;
	uint32_t len;

	if (!start(&block))
		return;
	queue.avail.flags = AVAIL_NO_INTERRUPT;
	if (!report(&dev, &queue, &block, 1, &len) || !report(&dev, &queue, &block, 1, &len))
		return;
	/* When the second was answered, all was done that the first one led to. */
	CHECK(device_read(&dev, REG_INTERRUPT_STATUS) == 0, "interrupt status %x",
	      device_read(&dev, REG_INTERRUPT_STATUS));
	queue.avail.flags = 0;
	/* The third one's comes after whatever came of the first two. */
	if (!report(&dev, &queue, &block, 1, &len))
		return;
	WAIT_FOR(interrupts >= 1, "no interrupt for the third report");
	CHECK(interrupts == 1, "%u interrupts, one was wanted", interrupts);
}

static void test_needs_reset(void)
{
	struct block block;

	if (!start(&block))
		return;
	queue_add(&queue, &block, 1, 0);
	queue_notify(&dev, QUEUE_REPORTING);
	WAIT_FOR(interrupts == 1, "%u interrupts", interrupts);
	CHECK(device_read(&dev, REG_INTERRUPT_STATUS) == INTERRUPT_CONFIG, "interrupt status %x",
	      device_read(&dev, REG_INTERRUPT_STATUS));
	CHECK(device_read(&dev, REG_STATUS) & STATUS_NEEDS_RESET, "status %x",
	      device_read(&dev, REG_STATUS));
	device_reset(&dev);
	CHECK(device_read(&dev, REG_INTERRUPT_STATUS) == 0, "after the reset: %x",
	      device_read(&dev, REG_INTERRUPT_STATUS));
}

const struct test tests[] = {
	{"arrives", test_arrives},
	{"once", test_once},
	{"not-wanted", test_not_wanted},
	{"needs-reset", test_needs_reset},
	{0},
};
