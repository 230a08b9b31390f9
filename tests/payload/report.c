// SPDX-License-Identifier: Apache-2.0
/*
 * Memory is dirtied, reported, and gone: for the guest, which reads zeros, and for the host, which
 * watches the RSS while we wait (test_report.py). Where reporting is not offered, the same steps are
 * made without any report: the control.
 */
#include "virtio.h"

#define CHAIN 32 /* blocks, as many as Linux reports at once */

/* 48 blocks of 2 MiB, every third of which stays. */
#define LARGE	     (2 * MIB)
#define LARGE_BLOCKS 48
/* 8 MiB of pages, two of every four of which stay. */
#define SMALL	     PAGE
#define SMALL_BLOCKS 2048

static struct queue queue;
static struct device dev;

static struct {
	uint64_t large, small, end;
} area;

static bool large_stays(unsigned int i)
{
	return i % 3 == 2;
}

static bool small_stays(unsigned int i)
{
	return i % 4 >= 2;
}

/* Reports what does not stay, up to four chains at once, each out of order. Returns the bytes. */
static bool report_all(uint64_t base, uint64_t size, unsigned int blocks,
		       bool (*stays)(unsigned int), uint64_t *bytes)
{
	struct block block[CHAIN];
	unsigned int n = 0, chains = 0;

	for (unsigned int i = 0; i < blocks; i++) {
		if (stays(i))
			continue;
		/* All places of a chain once: neighbours, and not in order. */
		block[n++ * 13 % CHAIN] = (struct block){base + i * size, size};
		if (n == CHAIN) {
			queue_add(&queue, block, CHAIN, DESC_WRITE);
			chains++;
			n = 0;
		}
		if (chains == 0 || n || (chains < QUEUE_SIZE / CHAIN && i + 3 < blocks))
			continue;
		queue_notify(&dev, QUEUE_REPORTING);
		for (; chains > 0; chains--) {
			uint32_t id, len;
			if (!queue_take(&queue, &id, &len))
				return false;
			if (len != CHAIN * size) {
				test_fail("used length %x, not %lx", len, CHAIN * size);
				return false;
			}
			*bytes += len;
		}
	}
	if (n || chains)
		test_fail("this test is wrong: %u blocks, %u chains left over", n, chains);
	return n == 0 && chains == 0;
}

static bool check_all(uint64_t base, uint64_t size, unsigned int blocks,
		      bool (*stays)(unsigned int), bool reported)
{
	for (unsigned int i = 0; i < blocks; i++) {
		uint64_t gpa = base + i * size;
		bool kept = !reported || stays(i);
		if (!(kept ? is_filled(gpa, size) : is_zero(gpa, size))) {
			test_fail("block %u of %lx bytes %s", i, size,
				  kept ? "lost its content" : "is not all zero");
			return false;
		}
	}
	return true;
}

static void dirty(void)
{
	area.large = memory_free();
	area.small = area.large + LARGE_BLOCKS * LARGE;
	area.end = area.small + SMALL_BLOCKS * SMALL;
	fill(area.large, area.end - area.large);
}

static void test_report(void)
{
	uint64_t bytes = 0;

	if (!device_find(&dev))
		return;
	bool offered = device_features(&dev) & FEATURE_REPORTING;
	if (!offered && !device_negotiate(&dev, FEATURE_VERSION_1))
		return;
	if (offered && !reporting_start(&dev, &queue))
		return;

	wait_for_host("clean");
	dirty();
	wait_for_host("dirty");
	if (offered && (!report_all(area.large, LARGE, LARGE_BLOCKS, large_stays, &bytes) ||
			!report_all(area.small, SMALL, SMALL_BLOCKS, small_stays, &bytes)))
		return;
	print("reported %lu\n", bytes);
	wait_for_host("reported");
	if (!check_all(area.large, LARGE, LARGE_BLOCKS, large_stays, offered) ||
	    !check_all(area.small, SMALL, SMALL_BLOCKS, small_stays, offered))
		return;

	/* It can all be used again, as if nothing had been. */
	fill(area.large, area.end - area.large);
	CHECK(is_filled(area.large, area.end - area.large), "it does not keep what is written");
	wait_for_host("again");
}

const struct test tests[] = {{"report", test_report}, {0}};
