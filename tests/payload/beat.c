// SPDX-License-Identifier: Apache-2.0
/*
 * The guest beside a hostile one: says again and again, until it is ended, how long the VMM
 * takes for a register's read and for a report, in ticks; the median of some. The host's side:
 * test_overload.py
 */
#include "virtio.h"

#define SAMPLES 31

static struct queue queue;
static struct device dev;

static uint64_t median(uint64_t *sample)
{
	for (unsigned int i = 1; i < SAMPLES; i++)
		for (unsigned int j = i; j > 0 && sample[j] < sample[j - 1]; j--) {
			uint64_t higher = sample[j - 1];
			sample[j - 1] = sample[j];
			sample[j] = higher;
		}
	return sample[SAMPLES / 2];
}

static uint64_t time_read(void)
{
	uint64_t from = clock_ticks();
	device_read(&dev, REG_MAGIC);
	return clock_ticks() - from;
}

/* 0: the test has failed. */
static uint64_t time_report(void)
{
	const struct block block = {memory_free(), 2 * MIB};
	uint32_t len;

	fill(block.gpa, PAGE);
	uint64_t from = clock_ticks();
	if (!report(&dev, &queue, &block, 1, &len))
		return 0;
	uint64_t ticks = clock_ticks() - from;
	if (len != block.len || !is_zero(block.gpa, PAGE))
		test_fail("used length %x", len);
	return test_failed() ? 0 : ticks;
}

static void test_beat(void)
{
	uint64_t read[SAMPLES], reported[SAMPLES];

	if (!reporting_start(&dev, &queue))
		return;
	fill(memory_free() + 2 * MIB, 2 * MIB);
	for (;;) {
		for (unsigned int i = 0; i < SAMPLES; i++) {
			read[i] = time_read();
			reported[i] = time_report();
			if (!reported[i])
				return;
		}
		CHECK(is_filled(memory_free() + 2 * MIB, 2 * MIB), "memory lost its content");
		print("beat %lu %lu\n", median(read), median(reported));
	}
}

const struct test tests[] = {
	{"beat", test_beat},
	{0},
};
