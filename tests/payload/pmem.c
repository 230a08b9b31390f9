// SPDX-License-Identifier: Apache-2.0
/*
 * Memory that is a file of the host's, as a driver without a kernel sees it, and as one that does what
 * it must not. The host's side, with what is in the file before and after: test_pmem.py
 */
#include "virtio.h"

#define QUEUE_FLUSH 0
#define TYPE_FLUSH  0
#define ID_PMEM	    27
#define PIECE	    (2 * MIB)

static struct queue queue;
static struct device dev;
static volatile uint32_t type, answer;

static uint64_t config64(unsigned int offset)
{
	return device_read(&dev, REG_CONFIG + offset) |
	       (uint64_t)device_read(&dev, REG_CONFIG + offset + 4) << 32;
}

/* Where it is, and how long: what the command line says, which is not taken from the device. */
static uint64_t place(void)
{
	return parameter_number("at", 0);
}

static bool start(void)
{
	if (!device_find(&dev) || !device_negotiate(&dev, FEATURE_VERSION_1))
		return false;
	queue_place(&dev, QUEUE_FLUSH, &queue);
	device_write(&dev, REG_STATUS, device_read(&dev, REG_STATUS) | STATUS_DRIVER_OK);
	return true;
}

/* Asks for @what; the answer is in `answer` then. */
static bool ask(uint32_t what)
{
	const struct block parts[] = {{(uint64_t)&type, 4}, {(uint64_t)&answer, 4}};
	uint32_t id, len;

	type = what;
	answer = 0xdead;
	uint16_t first = queue.next_desc * 37 % queue.size;
	uint16_t second = (queue.next_desc + 1) * 37 % queue.size;
	queue_add(&queue, parts, 2, 0);
	queue.desc[second].flags |= DESC_WRITE;
	queue_notify(&dev, QUEUE_FLUSH);
	if (!queue_take(&queue, &id, &len))
		return false;
	if (id != first || len != 4)
		test_fail("chain %u came back as %u with %u bytes", first, id, len);
	return id == first && len == 4;
}

static void test_place(void)
{
	if (!start())
		return;
	CHECK(device_read(&dev, REG_DEVICE_ID) == ID_PMEM, "it is device %u",
	      device_read(&dev, REG_DEVICE_ID));
	CHECK(config64(0) == place(), "it is at %lx", config64(0));
	CHECK(config64(8) == parameter_number("size", 0), "it has %lx bytes", config64(8));
	CHECK(load64(place()) == 0x3130656c69662121, "it begins with %lx", load64(place()));
	CHECK(is_zero(place() + 8, config64(8) - 8), "the rest is not zero");
	/* Behind it is nothing. */
	CHECK(load64(place() + config64(8)) == ~0ULL, "there is more of it");
}

static void test_write(void)
{
	if (!start())
		return;
	store64(place() + PAGE, 0x1122334455667788);
	fill(place() + 2 * PAGE, PAGE);
	if (!ask(TYPE_FLUSH))
		return;
	CHECK(answer == parameter_number("answer", 99), "the flush answers %x", answer);
	CHECK(load64(place() + PAGE) == 0x1122334455667788, "it is %lx", load64(place() + PAGE));
	CHECK(is_filled(place() + 2 * PAGE, PAGE), "it is not what was written");
	if (!ask(77))
		return;
	CHECK(answer == 1, "an unknown request answers %x", answer);
	wait_for_host("written");
}

/* The balloon is the first device. */
static void test_report(void)
{
	const struct block list[] = {{place(), PIECE}, {memory_free(), PIECE}};
	const struct block across[] = {{memory_free(), PIECE}, {place(), PIECE}};
	uint32_t len;

	fill(place(), PIECE);
	if (!reporting_start(&dev, &queue) || !report(&dev, &queue, list, 2, &len))
		return;
	CHECK(len == 0, "used length %x: the first block is not RAM", len);
	if (!report(&dev, &queue, across, 2, &len))
		return;
	CHECK(len == PIECE, "used length %x: the second block is not RAM", len);
	CHECK(is_filled(place(), PIECE), "the file lost its content");
}

/* Likewise: inflating the balloon by its pages. */
static void test_inflate(void)
{
	static volatile uint32_t pfn[2];
	const struct block list = {(uint64_t)pfn, sizeof(pfn)};
	uint32_t id, len;

	fill(place(), PIECE);
	pfn[0] = place() / PAGE;
	pfn[1] = memory_free() / PAGE;
	fill(memory_free(), PAGE);
	if (!device_find(&dev) || !device_negotiate(&dev, FEATURE_VERSION_1))
		return;
	queue_place(&dev, QUEUE_INFLATE, &queue);
	device_write(&dev, REG_STATUS, device_read(&dev, REG_STATUS) | STATUS_DRIVER_OK);
	queue_add(&queue, &list, 1, 0);
	queue_notify(&dev, QUEUE_INFLATE);
	if (!queue_take(&queue, &id, &len))
		return;
	CHECK(is_filled(place(), PIECE), "the file lost its content");
	CHECK(is_zero(memory_free(), PAGE), "the page of RAM did not go");
}

/* Rings in it are not what a driver may have. */
static void test_ring(void)
{
	struct queue *there = (struct queue *)place();

	if (!device_find(&dev) || !device_negotiate(&dev, FEATURE_VERSION_1))
		return;
	queue_place(&dev, QUEUE_FLUSH, there);
	CHECK(device_read(&dev, REG_STATUS) & STATUS_NEEDS_RESET, "status %x",
	      device_read(&dev, REG_STATUS));
	if (!start() || !ask(TYPE_FLUSH))
		return;
	CHECK(answer == 0, "the flush answers %x", answer);
}

/* Every page, by reading, or by writing to it what it has. */
static void test_touch(void)
{
	bool writes = parameter_is("by", "writing");

	if (!start())
		return;
	for (uint64_t at = place(); at < place() + config64(8); at += PAGE) {
		uint64_t value = load64(at);
		if (writes)
			store64(at, value);
	}
	wait_for_host("touched");
}

/* The host takes the file away. */
static void test_shorter(void)
{
	if (!start())
		return;
	store64(place() + PAGE, 1);
	wait_for_host("shorter");
	for (;;)
		load64(place() + PIECE / 2);
}

const struct test tests[] = {
	{"place", test_place},	   {"write", test_write},
	{"report", test_report},   {"inflate", test_inflate},
	{"ring", test_ring},	   {"touch", test_touch},
	{"shorter", test_shorter}, {0},
};
