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

#define AREA  (24 * MIB)
#define BLOCK (2 * MIB)
#define STEP  50000000 /* of the clock's ticks */

/* Every second of a few pages, then the block as a whole: each time what is given back reads as zero, alone. */
static void give_back(uint64_t gpa)
{
	const struct block whole = {gpa, BLOCK};
	uint32_t len;

	for (uint64_t page = 1; page < 16; page += 2) {
		const struct block block = {gpa + page * PAGE, PAGE};
		if (!report(&dev, &queue, &block, 1, &len))
			return;
		CHECK(is_zero(block.gpa, PAGE), "page %lx is not zero", block.gpa);
		CHECK(is_filled(block.gpa - PAGE, PAGE) && is_filled(block.gpa + PAGE, PAGE),
		      "a neighbour of page %lx is lost", block.gpa);
	}
	if (!report(&dev, &queue, &whole, 1, &len))
		return;
	CHECK(is_zero(gpa, BLOCK), "block %lx is not zero", gpa);
}

static void let_pass(uint32_t ticks)
{
	uint32_t end = interrupts + ticks;
	WAIT_FOR(interrupts >= end, "the timer stands still");
}

/* It is saved while memory is full, or empty, or between; and gives back what it never touched since. */
static void test_tide(void)
{
	const uint64_t area = memory_free() + 2 * MIB + PATTERN;

	if (!start(false))
		return;
	for (uint64_t step = 0;; step++) {
		fill(area, AREA);
		print("full %lu\n", step);
		let_pass(2 * TICKS);
		CHECK(is_filled(area, AREA), "memory is lost");
		for (uint64_t block = 0; block < AREA && !test_failed(); block += BLOCK)
			give_back(area + block);
		print("empty %lu\n", step);
		let_pass(2 * TICKS);
		CHECK(is_zero(area, AREA), "what was given back is there again");
		CHECK(is_filled(memory_free() + 2 * MIB, PATTERN), "memory is lost");
		if (test_failed())
			return;
	}
}

/* Has much that it does not touch again; it takes long to save, and needs no timer. */
static void test_large(void)
{
	fill(memory_free() + 2 * MIB + PATTERN, 128 * MIB);
	for (uint64_t step = 0;; step++) {
		uint64_t now = clock_ticks();
		print("step %lu\n", step);
		while (clock_ticks() - now < STEP)
			__asm__ volatile("pause");
	}
}

/* Writes to more pieces of its memory than a snapshot can list, in each step. */
static void test_scattered(void)
{
	const uint64_t area = memory_free() + 2 * MIB;

	fill(area, 40 * MIB);
	for (uint64_t step = 0;; step++) {
		uint64_t now = clock_ticks();
		for (uint64_t at = 0; at < 40 * MIB; at += 2 * PAGE)
			*(volatile uint64_t *)(area + at) = step;
		print("step %lu\n", step);
		while (clock_ticks() - now < STEP)
			__asm__ volatile("pause");
	}
}

/* Gives back all that it has filled when the host says so, and writes to two pages of that again. */
static void test_trap(void)
{
	const uint64_t area = memory_free() + 2 * MIB + PATTERN;

	if (!start(false))
		return;
	/* What is behind the area keeps the host busy. */
	fill(area, AREA + PATTERN);
	wait_for_host("full");
	for (uint64_t block = 0; block < AREA && !test_failed(); block += BLOCK)
		give_back(area + block);
	fill(area + 5 * PAGE, PAGE);
	fill(area + AREA - PAGE, PAGE);
	for (uint64_t step = 0; !test_failed(); step++) {
		print("step %lu\n", step);
		let_pass(TICKS);
		CHECK(is_zero(area, 5 * PAGE) && is_zero(area + 6 * PAGE, AREA - 7 * PAGE),
		      "what was given back is there again");
		CHECK(is_filled(area + 5 * PAGE, PAGE) && is_filled(area + AREA - PAGE, PAGE),
		      "what was written afterwards is lost");
		CHECK(is_filled(memory_free() + 2 * MIB, PATTERN), "memory is lost");
	}
}

/* Writes to all of its memory, as fast as it can. */
static void test_restless(void)
{
	const uint64_t area = memory_free() + 2 * MIB;

	for (uint64_t step = 0;; step++) {
		for (uint64_t turn = 0; turn < 5; turn++)
			for (uint64_t at = 0; at < 8 * MIB; at += PAGE)
				*(volatile uint64_t *)(area + at) = step + turn;
		print("step %lu\n", step);
	}
}

/* Each word of its memory is as the step before wrote it; then it writes that again, @pause ticks after each 16 pages. */
static void write_words(uint64_t pause)
{
	volatile uint64_t *word = (volatile uint64_t *)(memory_free() + 2 * MIB);
	const uint64_t words = 8 * MIB / sizeof(*word);

	for (uint64_t i = 0; i < words; i++)
		word[i] = i;
	for (uint64_t step = 0;; step++) {
		for (uint64_t i = 0; i < words; i++) {
			uint64_t now = clock_ticks();
			CHECK(word[i] == i + step, "word %lx is not of step %lu", i, step);
			word[i] = i + step + 1;
			while (i % (16 * PAGE / sizeof(*word)) == 0 && clock_ticks() - now < pause)
				__asm__ volatile("pause");
		}
		print("step %lu\n", step);
	}
}

static void test_busy(void)
{
	write_words(0);
}

static void test_paced(void)
{
	write_words(STEP / 64);
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
	{"tide", test_tide},
	{"large", test_large},
	{"chatter", test_chatter},
	{"scattered", test_scattered},
	{"restless", test_restless},
	{"trap", test_trap},
	{"busy", test_busy},
	{"paced", test_paced},
	{0},
};
