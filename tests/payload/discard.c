// SPDX-License-Identifier: Apache-2.0
/*
 * Gives memory back over and over, and says how long the device took: tests/bench/discard starts it,
 * under ebb and under QEMU. Timed by the guest's own clock (rdtsc, which no KVM intercepts), from
 * just before the doorbell until the used element is seen in memory: neither dirtying nor the making
 * of a chain is in it, nor an interrupt. The clock's rate is not known here: every line has its time,
 * so that who reads them can tell.
 *
 * `mib=` on the command line is how much is given back for each pattern, `pattern=` picks one.
 */
#include "tests/bench/discard_patterns.h"
#include "virtio.h"

/* With statistics negotiated, since QEMU has that queue in any case. */
#define QUEUE_REPORTING_AFTER_STATS 3

#define SAMPLE                                                                                     \
	61 /* every so many blocks are looked at afterwards; odd, so that all places in a chain are */

static struct queue inflate_queue, report_queue;
static struct device dev;
static uint32_t page_numbers[PATTERN_CHAIN_MAX];

static bool start(void)
{
	if (!device_at(&dev))
		return test_fail("no device on the command line '%s'", command_line()), false;
	if (!device_negotiate(&dev, FEATURE_VERSION_1 | FEATURE_STATS | FEATURE_REPORTING))
		return false;
	queue_place(&dev, QUEUE_INFLATE, &inflate_queue);
	queue_place(&dev, QUEUE_REPORTING_AFTER_STATS, &report_queue);
	inflate_queue.avail.flags = AVAIL_NO_INTERRUPT;
	report_queue.avail.flags = AVAIL_NO_INTERRUPT;
	device_write(&dev, REG_STATUS, device_read(&dev, REG_STATUS) | STATUS_DRIVER_OK);
	return true;
}

static void dirty(const struct pattern *pattern, uint64_t blocks)
{
	for (uint64_t i = 0; i < blocks; i++) {
		uint64_t gpa = memory_free() + i * pattern_step(pattern);
		for (uint64_t end = gpa + pattern->block; gpa < end; gpa += PAGE)
			store64(gpa, gpa);
	}
}

/* Puts a chain on its queue, the blocks from @first on. */
static void add_chain(const struct pattern *pattern, uint64_t first)
{
	struct block block[PATTERN_CHAIN_MAX];

	for (unsigned int i = 0; i < pattern->blocks; i++) {
		uint64_t gpa = memory_free() + pattern_offset(pattern, first + i);
		block[i] = (struct block){gpa, pattern->block};
		page_numbers[i] = gpa / PAGE;
	}
	if (pattern->inflate) {
		block[0] = (struct block){(uint64_t)page_numbers,
					  pattern->blocks * sizeof(page_numbers[0])};
		queue_add(&inflate_queue, block, 1, 0);
	} else {
		queue_add(&report_queue, block, pattern->blocks, DESC_WRITE);
	}
}

/*
 * Gives them back. Returns the ticks that the device took, or 0; *@doorbell counts those of them that
 * went by before the doorbell's store was done.
 */
static uint64_t give_back(const struct pattern *pattern, uint64_t blocks, uint64_t *doorbell)
{
	struct queue *q = pattern->inflate ? &inflate_queue : &report_queue;
	unsigned int number = pattern->inflate ? QUEUE_INFLATE : QUEUE_REPORTING_AFTER_STATS;
	uint64_t ticks = 0;
	uint32_t id, len;

	for (uint64_t i = 0; i < blocks;) {
		for (unsigned int chain = 0; chain < pattern->chains; chain++) {
			add_chain(pattern, i);
			i += pattern->blocks;
		}
		uint64_t from = clock_ticks();
		queue_notify(&dev, number);
		*doorbell += clock_ticks() - from;
		for (unsigned int chain = 0; chain < pattern->chains; chain++)
			if (!queue_take(q, &id, &len))
				return 0;
		ticks += clock_ticks() - from;
	}
	return ticks;
}

/* How many of the blocks that are looked at have kept what was in them. */
static unsigned int kept(const struct pattern *pattern, uint64_t blocks)
{
	unsigned int n = 0;
	for (uint64_t i = 0; i < blocks; i += SAMPLE)
		n += load64(memory_free() + pattern_offset(pattern, i)) != 0;
	return n;
}

/* All of the area: it is made of the same kind of pages again, whatever was done to it before. */
static bool level(uint64_t bytes)
{
	const struct pattern all = {.block = 2 * MIB, .blocks = 32, .chains = 1};
	uint64_t doorbell = 0;
	return give_back(&all, 2 * bytes / all.block, &doorbell) != 0;
}

static void run(const struct pattern *pattern)
{
	uint64_t bytes = parameter_number("mib", 64) * MIB;
	uint64_t blocks = pattern_blocks(pattern, bytes), doorbell = 0;

	if (!level(bytes))
		return;
	dirty(pattern, blocks);
	uint64_t ticks = give_back(pattern, blocks, &doorbell);
	if (!ticks)
		return;
	CHECK(kept(pattern, blocks) == 0, "%s: blocks kept their content", pattern->name);
	print("gave %s %lu bytes in %lu ticks, doorbell %lu\n", pattern->name,
	      blocks * pattern->block, ticks, doorbell);
	print("clock %lu\n", clock_ticks());
}

static void test_discard(void)
{
	if (!start())
		return;
	wait_for_host("start");
	print("clock %lu\n", clock_ticks());
	for (unsigned int i = 0; i < PATTERNS; i++)
		if (!parameter("pattern") || parameter_is("pattern", patterns[i].name))
			run(&patterns[i]);
}

const struct test tests[] = {
	{"discard", test_discard},
	{0},
};
