// SPDX-License-Identifier: Apache-2.0
/*
 * The guest that is saved and restored: it says again and again, until it is ended, how far it is, and that all it
 * relies on still holds: its memory, its clock, the timer's interrupt, the other CPU, and the device, whose
 * discarded memory reads as zero. The host's side: test_snapshot.py
 */
#include "virtio.h"

#define PATTERN	   (4 * MIB)
#define PORT_TIMER 0x40
#define TIMER_MODE 0x43
#define TIMER_RATE 23863 /* of 1193182 Hz: 50 times a second */
#define TICKS	   3	 /* interrupts between two lines */

static struct queue queue;
static struct device dev;
static volatile uint64_t cycles;

static void count_beside(void)
{
	for (;;)
		cycles++;
}

static void timer_start(void)
{
	interrupt_enable(0);
	out8(TIMER_MODE, 0x34); /* counter 0, both bytes, again and again */
	out8(PORT_TIMER, TIMER_RATE & 0xff);
	out8(PORT_TIMER, TIMER_RATE >> 8);
}

/* The pattern is behind what the device discards. */
static bool start(bool smp)
{
	if (!reporting_start(&dev, &queue))
		return false;
	fill(memory_free() + 2 * MIB, PATTERN);
	if (smp && !cpu1_run(count_beside)) {
		test_fail("the second CPU does not start");
		return false;
	}
	timer_start();
	return true;
}

/* A block is filled and reported, and reads as zero then. */
static bool report_one(void)
{
	const struct block block = {memory_free(), 2 * MIB};
	uint32_t len;

	fill(block.gpa, 2 * PAGE);
	if (!report(&dev, &queue, &block, 1, &len))
		return false;
	if (len != block.len || !is_zero(block.gpa, 2 * PAGE))
		test_fail("used length %x, or not zero", len);
	return !test_failed();
}

static void go_on(bool smp)
{
	register uint64_t step = 0, before = 0;

	if (!start(smp))
		return;
	for (;; step++) {
		uint32_t ticks = interrupts;
		uint64_t beside = cycles, now = clock_ticks();
		CHECK(now >= before, "the clock went back from %lx to %lx", before, now);
		before = now;
		WAIT_FOR(interrupts >= ticks + TICKS, "step %lu: the timer stands still", step);
		if (smp)
			WAIT_FOR(cycles > beside, "step %lu: the other CPU stands still", step);
		if (!report_one())
			return;
		CHECK(is_filled(memory_free() + 2 * MIB, PATTERN), "step %lu: memory is lost",
		      step);
		print("step %lu\n", step);
	}
}

static void test_one_cpu(void)
{
	go_on(false);
}

static void test_two_cpus(void)
{
	go_on(true);
}

/* Waits for the host in a device: the console takes no more. */
static void test_chatter(void)
{
	for (uint64_t step = 0;; step++)
		print("step %lu\n", step);
}

const struct test tests[] = {
	{"one-cpu", test_one_cpu},
	{"two-cpus", test_two_cpus},
	{"chatter", test_chatter},
	{0},
};
