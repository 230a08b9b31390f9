// SPDX-License-Identifier: Apache-2.0
/*
 * Reports that are wrong: of memory that is not there, and of kinds that break the rules. The first
 * are answered with the length of what is certainly gone, up to the first that is not; the second
 * with DEVICE_NEEDS_RESET, after which the device works as before. The host's side:
 * test_misreport.py
 */
#include "virtio.h"

#define LARGE  (2 * MIB)
#define BLOCKS 4

static struct queue queue;
static struct device dev;

static uint64_t block(unsigned int i)
{
	return memory_free() + i * LARGE;
}

static bool start(void)
{
	fill(block(0), BLOCKS * LARGE);
	return reporting_start(&dev, &queue);
}

/* The end of the last RAM region. */
static uint64_t ram_end(void)
{
	struct memory ram;
	uint64_t end = 0;
	for (unsigned int i = 0; memory_map(i, &ram); i++)
		end = ram.gpa + ram.size;
	return end;
}

/* --- what is not all RAM, or not whole pages ----------------------------------------------------- */

static void test_outside(void)
{
	const struct block list[] = {
		{block(0), LARGE}, {HOLE + 256 * MIB, LARGE}, {block(1), LARGE}};
	uint32_t len;
	if (!start() || !report(&dev, &queue, list, 3, &len))
		return;
	CHECK(len == LARGE, "used length %x: only the first block leads", len);
	CHECK(is_zero(block(0), LARGE), "the first block is not zero");
	CHECK(is_zero(block(1), LARGE), "the block after the bad one is not zero");
	CHECK(is_filled(block(2), 2 * LARGE), "another block lost its content");
	CHECK(device_read(&dev, REG_MAGIC) == 0x74726976, "the device is gone");

	const struct block first[] = {{HOLE, LARGE}, {block(2), LARGE}};
	if (!report(&dev, &queue, first, 2, &len))
		return;
	CHECK(len == 0, "used length %x: the first block is not RAM", len);
}

static void test_beyond(void)
{
	uint64_t end = ram_end();
	const struct block list[] = {{end - PAGE, 2 * PAGE}};
	uint32_t len;
	fill(end - 2 * PAGE, 2 * PAGE);
	if (!start() || !report(&dev, &queue, list, 1, &len))
		return;
	CHECK(len == 0, "used length %x: the block is not all RAM", len);
	CHECK(is_zero(end - PAGE, PAGE), "what of it is RAM is not zero");
	CHECK(is_filled(end - 2 * PAGE, PAGE), "the page before lost its content");
}

/* Over the edge of the 3 GiB below the hole, and over the whole hole. */
static void test_edge(void)
{
	const struct block edge = {HOLE - PAGE, 2 * PAGE};
	const struct block hole = {HOLE - PAGE, HOLE_END - HOLE + 2 * PAGE};
	uint32_t len;

	CHECK(ram_end() > HOLE_END, "this test wants RAM above 4 GiB");
	fill(HOLE - 2 * PAGE, 2 * PAGE);
	fill(HOLE_END, 2 * PAGE);
	if (!start() || !report(&dev, &queue, &edge, 1, &len))
		return;
	CHECK(len == 0, "used length %x: the block is not all RAM", len);
	CHECK(is_zero(HOLE - PAGE, PAGE), "what of it is RAM is not zero");
	CHECK(is_filled(HOLE - 2 * PAGE, PAGE), "the page before lost its content");
	CHECK(is_filled(HOLE_END, 2 * PAGE), "the RAM above the hole lost its content");

	fill(HOLE - PAGE, PAGE);
	if (!report(&dev, &queue, &hole, 1, &len))
		return;
	CHECK(len == 0, "used length %x: the block is not all RAM", len);
	CHECK(is_zero(HOLE - PAGE, PAGE) && is_zero(HOLE_END, PAGE), "its RAM is not zero");
	CHECK(is_filled(HOLE - 2 * PAGE, PAGE) && is_filled(HOLE_END + PAGE, PAGE),
	      "its neighbours lost their content");
}

static void test_wrap(void)
{
	const struct block list[] = {{-PAGE, 2 * PAGE}, {-8ULL, 16}, {-1ULL, 0xffffffff}};
	uint64_t low = 0x80000;
	uint32_t len;
	fill(low, PAGE);
	if (!start())
		return;
	for (unsigned int i = 0; i < 3; i++) {
		if (!report(&dev, &queue, &list[i], 1, &len))
			return;
		CHECK(len == 0, "%u: used length %x: there is no such memory", i, len);
	}
	CHECK(is_filled(low, PAGE) && is_filled(block(0), BLOCKS * LARGE), "RAM lost its content");
}

static void test_unaligned(void)
{
	const struct block list[] = {{block(0) + 512, 2 * PAGE}};
	uint32_t len;
	if (!start() || !report(&dev, &queue, list, 1, &len))
		return;
	CHECK(len == 0, "used length %x: not all of the block is gone", len);
	CHECK(is_filled(block(0), PAGE), "the page that it begins in lost its content");
	CHECK(is_zero(block(0) + PAGE, PAGE), "the page that it has is not zero");
	CHECK(is_filled(block(0) + 2 * PAGE, PAGE), "the page that it ends in lost its content");

	/* Four that are a page together. */
	const struct block parts[] = {{block(1) + 1024, 1024},
				      {block(1) + 3072, 1024},
				      {block(1), 1024},
				      {block(1) + 2048, 1024}};
	if (!report(&dev, &queue, parts, 4, &len))
		return;
	CHECK(len == PAGE, "used length %x for a page in four parts", len);
	CHECK(is_zero(block(1), PAGE), "the page in four parts is not zero");
	CHECK(is_filled(block(1) + PAGE, PAGE), "the page after it lost its content");
}

static void test_empty(void)
{
	const struct block list[] = {{block(0), LARGE}, {block(1), 0}, {block(2), LARGE}};
	uint32_t len;
	if (!start() || !report(&dev, &queue, list, 3, &len))
		return;
	CHECK(len == 2 * LARGE, "used length %x", len);
	CHECK(is_zero(block(0), LARGE) && is_zero(block(2), LARGE), "a block is not zero");
	CHECK(is_filled(block(1), LARGE), "the block of no bytes lost its content");
	if (!report(&dev, &queue, &list[1], 1, &len))
		return;
	CHECK(len == 0, "used length %x for nothing", len);
}

static void test_twice(void)
{
	const struct block list[] = {{block(1), LARGE},
				     {block(0), LARGE},
				     {block(1), LARGE},
				     {block(0) + LARGE / 2, LARGE}};
	uint32_t len;
	if (!start() || !report(&dev, &queue, list, 4, &len))
		return;
	CHECK(len == 4 * LARGE, "used length %x", len);
	CHECK(is_zero(block(0), 2 * LARGE), "the blocks are not zero");
	CHECK(is_filled(block(2), 2 * LARGE), "their neighbours lost their content");
}

/* --- what breaks the rules ------------------------------------------------------------------------ */

/* The device stops, has touched nothing, and works again once it was reset. */
static void expect_needs_reset(void)
{
	const struct block good = {block(3), LARGE};
	uint32_t len;

	WAIT_FOR(device_read(&dev, REG_STATUS) & STATUS_NEEDS_RESET, "status %x",
		 device_read(&dev, REG_STATUS));
	CHECK(queue.used.index == queue.seen, "it was given back, too");
	CHECK(is_filled(block(0), BLOCKS * LARGE), "memory lost its content");

	/* Until then it does nothing, not even for a good report. */
	uint16_t used = queue.used.index;
	queue_add(&queue, &good, 1, DESC_WRITE);
	queue_notify(&dev, QUEUE_REPORTING);
	device_write(&dev, REG_STATUS,
		     STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK);
	CHECK(device_read(&dev, REG_STATUS) & STATUS_NEEDS_RESET, "status %x without a reset",
	      device_read(&dev, REG_STATUS));

	device_reset(&dev);
	CHECK(queue.used.index == used, "it served a queue that it had given up");
	CHECK(device_read(&dev, REG_STATUS) == 0, "status %x", device_read(&dev, REG_STATUS));
	if (!reporting_start(&dev, &queue) || !report(&dev, &queue, &good, 1, &len))
		return;
	CHECK(len == LARGE && is_zero(block(3), LARGE), "used length %x after the reset", len);
	CHECK(is_filled(block(0), 3 * LARGE), "memory lost its content after the reset");
}

static void test_read_only(void)
{
	const struct block list[] = {{block(0), LARGE}, {block(1), LARGE}};
	if (!start())
		return;
	queue_add(&queue, list, 2, 0);
	queue_notify(&dev, QUEUE_REPORTING);
	expect_needs_reset();
}

static void test_read_only_last(void)
{
	const struct block list[] = {{block(0), LARGE}, {block(1), LARGE}};
	if (!start())
		return;
	uint16_t head = queue_add(&queue, list, 2, 0);
	queue.desc[head].flags |= DESC_WRITE;
	queue_notify(&dev, QUEUE_REPORTING);
	expect_needs_reset();
}

static void test_loop(void)
{
	const struct block list[] = {{block(0), LARGE}, {block(1), LARGE}};
	if (!start())
		return;
	uint16_t head = queue_add(&queue, list, 2, DESC_WRITE | DESC_NEXT);
	queue.desc[queue.desc[head].next].next = head;
	queue_notify(&dev, QUEUE_REPORTING);
	expect_needs_reset();
}

static void test_loop_one(void)
{
	const struct block list[] = {{block(0), 0}};
	if (!start())
		return;
	uint16_t head = queue_add(&queue, list, 1, DESC_WRITE | DESC_NEXT);
	queue.desc[head].next = head;
	queue_notify(&dev, QUEUE_REPORTING);
	expect_needs_reset();
}

static void test_head(void)
{
	if (!start())
		return;
	queue.avail.ring[0] = QUEUE_SIZE;
	queue.avail.index = 1;
	queue_notify(&dev, QUEUE_REPORTING);
	expect_needs_reset();
}

static void test_next(void)
{
	const struct block list[] = {{block(0), LARGE}};
	if (!start())
		return;
	uint16_t head = queue_add(&queue, list, 1, DESC_WRITE | DESC_NEXT);
	queue.desc[head].next = 0xffff;
	queue_notify(&dev, QUEUE_REPORTING);
	expect_needs_reset();
}

static void test_index(void)
{
	if (!start())
		return;
	/* All that the ring holds is fine, only that it cannot hold so much. */
	for (unsigned int i = 0; i < QUEUE_SIZE; i++) {
		queue.desc[i].flags = DESC_WRITE;
		queue.avail.ring[i] = i;
	}
	queue.avail.index = QUEUE_SIZE + 1;
	queue_notify(&dev, QUEUE_REPORTING);
	expect_needs_reset();
}

/* More than 2^32 bytes in a chain (virtio 1.2 §2.7.4.2). */
static void test_too_long(void)
{
	const struct block list[] = {{GIB, 0xfffff000}, {GIB, 0xfffff000}};
	if (!start())
		return;
	queue_add(&queue, list, 2, DESC_WRITE);
	queue_notify(&dev, QUEUE_REPORTING);
	expect_needs_reset();
}

/* A good table, if it were allowed: this feature was not offered. */
static void test_indirect(void)
{
	const struct desc table = {block(0), LARGE, DESC_WRITE, 0};
	const struct block list[] = {{(uint64_t)&table, sizeof(table)}};
	if (!start())
		return;
	queue_add(&queue, list, 1, DESC_INDIRECT);
	queue_notify(&dev, QUEUE_REPORTING);
	expect_needs_reset();
}

/* Where reporting was not negotiated, the queue of that number is nothing. */
static void test_not_negotiated(void)
{
	const struct block list[] = {{block(0), LARGE}};
	fill(block(0), BLOCKS * LARGE);
	if (!device_find(&dev) || !device_negotiate(&dev, FEATURE_VERSION_1))
		return;
	queue_place(&dev, QUEUE_REPORTING, &queue);
	device_write(&dev, REG_STATUS, device_read(&dev, REG_STATUS) | STATUS_DRIVER_OK);
	queue_add(&queue, list, 1, DESC_WRITE);
	queue_notify(&dev, QUEUE_REPORTING);
	expect_needs_reset();
}

/* A queue that lies outside RAM. */
static void test_queue_outside(void)
{
	fill(block(0), BLOCKS * LARGE);
	if (!device_find(&dev) || !device_negotiate(&dev, FEATURE_VERSION_1 | FEATURE_REPORTING))
		return;
	queue_place(&dev, QUEUE_REPORTING, &queue);
	device_write(&dev, REG_QUEUE_READY, 0);
	device_write(&dev, REG_QUEUE_USED, HOLE + 256 * MIB);
	device_write(&dev, REG_QUEUE_READY, 1);
	CHECK(device_read(&dev, REG_QUEUE_READY) == 0, "the queue is ready");
	expect_needs_reset();
}

/* --- what harms only the guest --------------------------------------------------------------------- */

/* Pages put into the balloon, neighbours and one that is nowhere among them: these go, no others. */
static void test_inflate(void)
{
	static struct queue inflate;
	uint32_t pages[] = {block(1) / PAGE, 0xffffffff, block(0) / PAGE, block(0) / PAGE + 1};
	const struct block list[] = {{(uint64_t)pages, sizeof(pages)}};
	uint32_t id, len;

	fill(block(0), BLOCKS * LARGE);
	if (!device_find(&dev) || !device_negotiate(&dev, FEATURE_VERSION_1))
		return;
	queue_place(&dev, QUEUE_INFLATE, &inflate);
	device_write(&dev, REG_STATUS, device_read(&dev, REG_STATUS) | STATUS_DRIVER_OK);
	queue_add(&inflate, list, 1, 0);
	queue_notify(&dev, QUEUE_INFLATE);
	if (!queue_take(&inflate, &id, &len))
		return;
	CHECK(len == 0, "used length %x", len);
	CHECK(is_zero(block(0), 2 * PAGE) && is_zero(block(1), PAGE), "the pages are not zero");
	CHECK(is_filled(block(0) + 2 * PAGE, LARGE - 2 * PAGE) &&
		      is_filled(block(1) + PAGE, (BLOCKS - 1) * LARGE - PAGE),
	      "memory lost its content");
}

/* The rings report themselves: they are zeros now, and it is the driver's fault. */
static void test_own_rings(void)
{
	const struct block rings = {(uint64_t)&queue, sizeof(queue) & -PAGE};
	const struct block good = {block(0), LARGE};
	uint32_t len;

	if (!start())
		return;
	queue_add(&queue, &rings, 1, DESC_WRITE);
	queue_notify(&dev, QUEUE_REPORTING);
	/* The available ring is one chain behind what was taken: that breaks the rules. */
	WAIT_FOR(device_read(&dev, REG_STATUS) & STATUS_NEEDS_RESET, "status %x",
		 device_read(&dev, REG_STATUS));
	if (!reporting_start(&dev, &queue) || !report(&dev, &queue, &good, 1, &len))
		return;
	CHECK(len == LARGE && is_zero(block(0), LARGE), "used length %x after the reset", len);
	CHECK(is_filled(block(1), 3 * LARGE), "memory lost its content");
}

static void test_features(void)
{
	const uint64_t bad[] = {FEATURE_REPORTING, FEATURE_VERSION_1 | 1ULL << 63,
				FEATURE_VERSION_1 | 1ULL << 7};
	if (!device_find(&dev))
		return;
	for (unsigned int i = 0; i < 3; i++) {
		device_reset(&dev);
		device_write(&dev, REG_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
		device_write(&dev, REG_DRIVER_SELECT, 0);
		device_write(&dev, REG_DRIVER_FEATURES, bad[i]);
		device_write(&dev, REG_DRIVER_SELECT, 1);
		device_write(&dev, REG_DRIVER_FEATURES, bad[i] >> 32);
		device_write(&dev, REG_STATUS,
			     STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK);
		CHECK(!(device_read(&dev, REG_STATUS) & STATUS_FEATURES_OK),
		      "the features %lx are taken", bad[i]);
	}
}

const struct test tests[] = {
	{"outside", test_outside},
	{"beyond", test_beyond},
	{"edge", test_edge},
	{"wrap", test_wrap},
	{"unaligned", test_unaligned},
	{"empty", test_empty},
	{"twice", test_twice},
	{"read-only", test_read_only},
	{"read-only-last", test_read_only_last},
	{"loop", test_loop},
	{"loop-one", test_loop_one},
	{"head", test_head},
	{"next", test_next},
	{"index", test_index},
	{"too-long", test_too_long},
	{"indirect", test_indirect},
	{"not-negotiated", test_not_negotiated},
	{"queue-outside", test_queue_outside},
	{"inflate", test_inflate},
	{"own-rings", test_own_rings},
	{"features", test_features},
	{0},
};
