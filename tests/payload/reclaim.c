// SPDX-License-Identifier: Apache-2.0
/*
 * A driver that gives memory back when it is asked to, one that does not answer, one that goes away,
 * and one that breaks the queue's rules. Who asks is `ebb reclaim`: test_reclaim.py.
 */
#include "virtio.h"

#define QUEUE_RECLAIM 3 /* inflate, deflate, reporting, this */
#define QUEUES	      4

#define LARGE  (2 * MIB)
#define BLOCKS 32 /* in one report */

static struct queue queue[QUEUES];
static struct device dev;

static struct {
	uint32_t id, status;
	uint64_t drained, cache, compacted, reported, free;
	uint32_t elapsed_ms, reserved;
} response;

static struct {
	uint32_t id, flags, timeout_ms, reserved;
	uint64_t cache;
} request;

static bool start(uint64_t features)
{
	if (!device_find(&dev) || !device_negotiate(&dev, FEATURE_VERSION_1 | features))
		return false;
	for (unsigned int i = 0; i < (features & FEATURE_RECLAIM ? QUEUES : QUEUES - 1); i++)
		queue_place(&dev, i, &queue[i]);
	device_write(&dev, REG_STATUS, device_read(&dev, REG_STATUS) | STATUS_DRIVER_OK);
	return true;
}

static void chain(const struct desc *answer, const struct desc *place)
{
	struct queue *q = &queue[QUEUE_RECLAIM];
	unsigned int at = q->next_desc;

	q->next_desc = (at + 2) % q->size;
	q->desc[at] = *answer;
	q->desc[at].flags |= DESC_NEXT;
	q->desc[at].next = at + 1;
	q->desc[at + 1] = *place;
	q->avail.ring[q->avail.index % q->size] = at;
	fence();
	q->avail.index++;
	fence();
	queue_notify(&dev, QUEUE_RECLAIM);
}

/* The next chain, which answers the last request: none, as long as there was none. */
static void give(void)
{
	const struct desc answer = {(uint64_t)&response, sizeof(response), 0, 0};
	const struct desc place = {(uint64_t)&request, sizeof(request), DESC_WRITE, 0};

	response.id = request.id;
	chain(&answer, &place);
}

/* Begins with nothing asked. */
static bool begin(void)
{
	memset(&request, 0, sizeof(request));
	memset(&response, 0, sizeof(response));
	if (!start(FEATURE_REPORTING | FEATURE_RECLAIM))
		return false;
	give();
	return true;
}

static bool take(void)
{
	uint32_t id, len;
	if (!queue_take(&queue[QUEUE_RECLAIM], &id, &len))
		return false;
	if (len != sizeof(request) || request.id == 0 || request.reserved)
		test_fail("a request of %u bytes with the number %u", len, request.id);
	return !test_failed();
}

static void test_asked(void)
{
	struct block block[BLOCKS];
	uint32_t len;

	fill(memory_free(), BLOCKS * LARGE);
	for (unsigned int i = 0; i < BLOCKS; i++)
		block[i] = (struct block){memory_free() + i * LARGE, LARGE};
	if (!begin())
		return;
	wait_for_host("ready");
	if (!take())
		return;
	print("asked for %lu, %u, in %u\n", request.cache, request.flags, request.timeout_ms);
	if (!report(&dev, &queue[QUEUE_REPORTING], block, BLOCKS, &len))
		return;
	/* It is negotiated that this is so. */
	CHECK(len == BLOCKS * LARGE && is_zero(memory_free(), LARGE), "used length %x", len);
	response.status = 0;
	response.drained = 1;
	response.cache = 2;
	response.compacted = 3;
	response.reported = len;
	response.free = 5;
	response.elapsed_ms = 1500;
	give();
	wait_for_host("partly");
	if (!take())
		return;
	response.status = 1;
	give();
	wait_for_host("failed");
	if (!take())
		return;
	response.status = 2;
	give();
	wait_for_host("looked");
	CHECK(!(device_read(&dev, REG_STATUS) & STATUS_NEEDS_RESET), "it needs a reset");
}

/* Its answer comes when nobody waits for it any more. */
static void test_silent(void)
{
	if (!begin())
		return;
	wait_for_host("ready");
	if (!take())
		return;
	wait_for_host("given up");
	give();
	wait_for_host("answered");
	if (!take())
		return;
	give();
	wait_for_host("looked");
	CHECK(!(device_read(&dev, REG_STATUS) & STATUS_NEEDS_RESET), "it needs a reset");
}

static void test_reset(void)
{
	if (!begin())
		return;
	wait_for_host("ready");
	if (!take())
		return;
	device_reset(&dev);
	wait_for_host("without a driver");
	if (!start(FEATURE_REPORTING))
		return;
	wait_for_host("without the feature");
	if (!begin())
		return;
	wait_for_host("again");
	if (!take())
		return;
	give();
	wait_for_host("looked");
	if (!begin())
		return;
	wait_for_host("for the last time");
	/* It powers off instead of an answer. */
	take();
}

static void test_misuse(void)
{
	const uint64_t at = (uint64_t)&response, to = (uint64_t)&request;
	static const uint32_t ids[] = {1, 0xffffffff};
	const struct {
		const char *name;
		struct desc answer, place;
	} shapes[] = {
		{"both to read", {at, 56, 0, 0}, {to, 24, 0, 0}},
		{"both to write to", {at, 56, DESC_WRITE, 0}, {to, 24, DESC_WRITE, 0}},
		{"an answer too short", {at, 55, 0, 0}, {to, 24, DESC_WRITE, 0}},
		{"an answer too long", {at, 57, 0, 0}, {to, 24, DESC_WRITE, 0}},
		{"an answer of 4 GiB", {at, 0xffffff00, 0, 0}, {to, 24, DESC_WRITE, 0}},
		{"too little place", {at, 56, 0, 0}, {to, 23, DESC_WRITE, 0}},
		{"too much place", {at, 56, 0, 0}, {to, 25, DESC_WRITE, 0}},
		{"an answer in the hole", {HOLE, 56, 0, 0}, {to, 24, DESC_WRITE, 0}},
		{"a place in the hole", {at, 56, 0, 0}, {HOLE, 24, DESC_WRITE, 0}},
		{"a place that wraps", {at, 56, 0, 0}, {-8ULL, 24, DESC_WRITE, 0}},
	};
	for (unsigned int i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		if (!start(FEATURE_REPORTING | FEATURE_RECLAIM))
			return;
		chain(&shapes[i].answer, &shapes[i].place);
		WAIT_FOR(device_read(&dev, REG_STATUS) & STATUS_NEEDS_RESET, "%s", shapes[i].name);
		CHECK(queue[QUEUE_RECLAIM].used.index == 0, "%s: it was given back, too",
		      shapes[i].name);
	}
	/* Answers to what nobody asked, and a second chain before the first is back. */
	for (unsigned int i = 0; i < 3; i++) {
		if (!start(FEATURE_REPORTING | FEATURE_RECLAIM))
			return;
		request.id = i < 2 ? ids[i] : 0;
		give();
		if (i == 2)
			give();
		WAIT_FOR(device_read(&dev, REG_STATUS) & STATUS_NEEDS_RESET, "answer %u", i);
	}
	/* The next driver is served. */
	if (!begin())
		return;
	wait_for_host("ready");
	if (!take())
		return;
	request.id++;
	give();
	WAIT_FOR(device_read(&dev, REG_STATUS) & STATUS_NEEDS_RESET, "an answer to another");
}

const struct test tests[] = {
	{"asked", test_asked},
	{"silent", test_silent},
	{"reset", test_reset},
	{"misuse", test_misuse},
	{0},
};
