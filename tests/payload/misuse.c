// SPDX-License-Identifier: Apache-2.0
/*
 * The queues on which the device reads, fed with what is wrong: each wrong request on each of them.
 * What breaks the rules ends with DEVICE_NEEDS_RESET, the rest is answered; no memory changes either
 * way, and the device works afterwards. The host's side: test_misuse.py, which gives 64 MiB.
 */
#include "virtio.h"

#define RAM_END	   (64 * MIB)
#define LOCAL_APIC 0xfee00000ULL
#define GUARD	   (8 * MIB)

/* With statistics negotiated, and nothing else that has a queue. */
#define QUEUE_STATS 2
#define QUEUES	    3

static struct queue queue[QUEUES];
static struct device dev;
static const char *const queue_name[QUEUES] = {"inflate", "deflate", "statistics"};

/* Numbers of pages that are not RAM, and as a statistics buffer: tags that nobody knows. */
static uint32_t nowhere[] = {0xffffffff, RAM_END / PAGE, LOCAL_APIC / PAGE, HOLE / PAGE,
			     0xc0000,	 0x80000000,	 0xfffffffe,	    0xfee00};
static const struct desc table[] = {{(uint64_t)nowhere, 4, 0, 0}};
/* As an indirect table it begins with itself. */
static const struct desc table_itself[] = {
	{(uint64_t)table_itself, sizeof(struct desc), DESC_INDIRECT, 0}};

#define AT ((uint64_t)nowhere)

struct misuse {
	const char *name;
	struct desc desc[3]; /* the first of the queue's */
	uint16_t head;
	uint16_t index; /* the available ring's; 0 is 1 */
	bool circle;	/* all of the queue's others lead on to the next, the last to the first */
};

static const struct misuse refused[] = {
	{"a descriptor that leads to itself", .desc = {{AT, 0, DESC_NEXT, 0}}},
	{"two that lead to each other", .desc = {{AT, 4, DESC_NEXT, 1}, {AT, 4, DESC_NEXT, 0}}},
	{"a chain longer than the ring", .desc = {{AT, 4, DESC_NEXT, 1}}, .circle = true},
	{"a head beyond the ring", .desc = {{AT, 4, 0, 0}}, .head = QUEUE_SIZE},
	{"the highest head", .desc = {{AT, 4, 0, 0}}, .head = 0xffff},
	{"a next beyond the ring", .desc = {{AT, 4, DESC_NEXT, QUEUE_SIZE}}},
	{"the highest next", .desc = {{AT, 4, DESC_NEXT, 0xffff}}},
	{"more chains than the ring holds", .desc = {{AT, 4, 0, 0}}, .index = QUEUE_SIZE + 1},
	{"an index that went back", .desc = {{AT, 4, 0, 0}}, .index = 0xffff},
	{"a buffer to write to", .desc = {{AT, 4, DESC_WRITE, 0}}},
	{"one to write to behind one to read",
	 .desc = {{AT, 4, DESC_NEXT, 1}, {AT, 4, DESC_WRITE, 0}}},
	{"one to read behind one to write to",
	 .desc = {{AT, 4, DESC_WRITE | DESC_NEXT, 1}, {AT, 4, 0, 0}}},
	{"an indirect table", .desc = {{(uint64_t)table, sizeof(table), DESC_INDIRECT, 0}}},
	{"an indirect table of itself",
	 .desc = {{(uint64_t)table_itself, sizeof(table_itself), DESC_INDIRECT, 0}}},
	{"an indirect table without a length", .desc = {{(uint64_t)table, 0, DESC_INDIRECT, 0}}},
	{"more than 2^32 bytes", .desc = {{AT, 0xffffffff, DESC_NEXT, 1}, {AT, 0xffffffff, 0, 0}}},
	{"a buffer in the hole", .desc = {{HOLE + 256 * MIB, 4, 0, 0}}},
	{"a buffer of registers", .desc = {{LOCAL_APIC, 4, 0, 0}}},
	{"a buffer right behind RAM", .desc = {{RAM_END, 4, 0, 0}}},
	{"a buffer over the end of RAM", .desc = {{RAM_END - 4, 8, 0, 0}}},
	{"a buffer that wraps", .desc = {{-4ULL, 8, 0, 0}}},
	{"a buffer at the last address", .desc = {{-1ULL, 0xffffffff, 0, 0}}},
	{"a good buffer and one that is nowhere", .desc = {{AT, 4, DESC_NEXT, 1}, {HOLE, 4, 0, 0}}},
	{.name = NULL},
};

static const struct misuse answered[] = {
	{"no bytes", .desc = {{AT, 0, DESC_NEXT, 1}, {AT, 0, 0, 0}}},
	{"no bytes, nowhere", .desc = {{HOLE, 0, DESC_NEXT, 1}, {-1ULL, 0, 0, 0}}},
	{"a part of a number", .desc = {{AT, 3, 0, 0}}},
	{"a number and a part, in pieces", .desc = {{AT, 1, DESC_NEXT, 1}, {AT + 1, 6, 0, 0}}},
	{"pages that are not RAM", .desc = {{AT, sizeof(nowhere), 0, 0}}},
	{"the same buffer again and again",
	 .desc = {{AT, 32, DESC_NEXT, 1}, {AT, 32, DESC_NEXT, 2}, {AT, 32, 0, 0}}},
	{.name = NULL},
};

static bool start(void)
{
	if (!device_find(&dev) || !device_negotiate(&dev, FEATURE_VERSION_1 | FEATURE_STATS))
		return false;
	for (unsigned int i = 0; i < QUEUES; i++)
		queue_place(&dev, i, &queue[i]);
	device_write(&dev, REG_STATUS, device_read(&dev, REG_STATUS) | STATUS_DRIVER_OK);
	return true;
}

static void feed(struct queue *q, const struct misuse *misuse)
{
	for (unsigned int i = 0; misuse->circle && i < QUEUE_SIZE; i++) {
		q->desc[i] = misuse->desc[0];
		q->desc[i].next = (i + 1) % QUEUE_SIZE;
	}
	for (unsigned int i = 0; i < 3 && !misuse->circle; i++)
		q->desc[i] = misuse->desc[i];
	q->avail.ring[0] = misuse->head;
	fence();
	q->avail.index = misuse->index ? misuse->index : 1;
	fence();
	queue_notify(&dev, q - queue);
}

/* Puts a page into the balloon; it is a page of zeros then. */
static void expect_works(const char *queue_said, const char *said)
{
	uint64_t gpa = memory_free() + GUARD;
	uint32_t number = gpa / PAGE, id, len;
	const struct block block = {(uint64_t)&number, sizeof(number)};

	store64(gpa, gpa);
	if (!start())
		return;
	queue_add(&queue[QUEUE_INFLATE], &block, 1, 0);
	queue_notify(&dev, QUEUE_INFLATE);
	if (!queue_take(&queue[QUEUE_INFLATE], &id, &len))
		return;
	CHECK(len == 0 && load64(gpa) == 0, "%s, %s: the device works no more", queue_said, said);
	CHECK(is_filled(memory_free(), GUARD), "%s, %s: memory lost its content", queue_said, said);
}

static void test_refused(void)
{
	fill(memory_free(), GUARD);
	for (unsigned int i = 0; i < QUEUES; i++) {
		for (const struct misuse *misuse = refused; misuse->name; misuse++) {
			if (!start())
				return;
			feed(&queue[i], misuse);
			WAIT_FOR(device_read(&dev, REG_STATUS) & STATUS_NEEDS_RESET,
				 "%s, %s: status %x", queue_name[i], misuse->name,
				 device_read(&dev, REG_STATUS));
			CHECK(queue[i].used.index == 0, "%s, %s: it was given back, too",
			      queue_name[i], misuse->name);
			expect_works(queue_name[i], misuse->name);
			if (test_failed())
				return;
		}
	}
}

/* A statistics buffer is given back when there is another. */
static bool answer(struct queue *q)
{
	const struct block next = {(uint64_t)nowhere, 10};
	uint32_t id, len;

	if (q == &queue[QUEUE_STATS]) {
		q->next_desc = 3;
		queue_add(q, &next, 1, 0);
		queue_notify(&dev, QUEUE_STATS);
	}
	if (!queue_take(q, &id, &len))
		return false;
	if (id != 0 || len != 0)
		test_fail("chain %u came back with the length %x", id, len);
	return id == 0 && len == 0;
}

static void test_answered(void)
{
	fill(memory_free(), GUARD);
	for (unsigned int i = 0; i < QUEUES; i++) {
		for (const struct misuse *misuse = answered; misuse->name; misuse++) {
			if (!start())
				return;
			feed(&queue[i], misuse);
			if (!answer(&queue[i]))
				return;
			CHECK(!(device_read(&dev, REG_STATUS) & STATUS_NEEDS_RESET),
			      "%s, %s: it needs a reset", queue_name[i], misuse->name);
			expect_works(queue_name[i], misuse->name);
			if (test_failed())
				return;
		}
	}
}

/* Pages taken out that were never put in: they keep what is in them. */
static void test_not_inside(void)
{
	const uint32_t number[] = {memory_free() / PAGE, memory_free() / PAGE + 1,
				   memory_free() / PAGE};
	const struct block block = {(uint64_t)number, sizeof(number)};
	uint32_t id, len;

	fill(memory_free(), GUARD);
	if (!start())
		return;
	queue_add(&queue[QUEUE_DEFLATE], &block, 1, 0);
	queue_notify(&dev, QUEUE_DEFLATE);
	if (!queue_take(&queue[QUEUE_DEFLATE], &id, &len))
		return;
	CHECK(len == 0, "used length %x", len);
	CHECK(is_filled(memory_free(), GUARD), "memory lost its content");
}

/* A statistics buffer that claims more than there is: only what a device needs of it is read. */
static void test_stats_length(void)
{
	const uint32_t long_enough = 700; /* 64 entries of 10 bytes, and more than that */
	const struct {
		struct block block;
		bool fits;
	} lies[] = {
		{{memory_free(), 0xffffffff}, true},  {{RAM_END - long_enough, 0xffffffff}, true},
		{{RAM_END - 100, 0xffffffff}, false}, {{RAM_END - 100, 640}, false},
		{{RAM_END - 100, 100}, true},
	};
	fill(memory_free(), GUARD);
	for (unsigned int i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		if (!start())
			return;
		queue_add(&queue[QUEUE_STATS], &lies[i].block, 1, 0);
		queue_notify(&dev, QUEUE_STATS);
		if (lies[i].fits && !answer(&queue[QUEUE_STATS]))
			return;
		if (!lies[i].fits)
			WAIT_FOR(device_read(&dev, REG_STATUS) & STATUS_NEEDS_RESET,
				 "%u: status %x", i, device_read(&dev, REG_STATUS));
		expect_works("statistics", "a length that lies");
		if (test_failed())
			return;
	}
}

const struct test tests[] = {
	{"refused", test_refused},
	{"answered", test_answered},
	{"not-inside", test_not_inside},
	{"stats-length", test_stats_length},
	{0},
};
