// SPDX-License-Identifier: Apache-2.0
/* The doorbell is KVM's to answer (ioeventfd). The host's side: test_doorbell.py */
#include "virtio.h"

static struct queue queue;

/* No register is read or written but the doorbell: what the device did is seen in memory. */
static void test_answers(void)
{
	struct device dev;
	uint32_t len;
	const struct block block = {memory_free(), 2 * MIB};

	if (!reporting_start(&dev, &queue))
		return;
	for (unsigned int i = 0; i < 100; i++) {
		fill(block.gpa, PAGE);
		if (!report(&dev, &queue, &block, 1, &len))
			return;
		CHECK(len == block.len, "%u: used length %x", i, len);
		CHECK(is_zero(block.gpa, PAGE), "%u: the block is not zero", i);
	}
}

/* The host looks whether its vCPU thread was bothered by any of these. */
static void test_stays_inside(void)
{
	struct device dev;
	uint64_t rings = parameter_number("rings", 1000);

	if (!reporting_start(&dev, &queue))
		return;
	wait_for_host("before");
	for (uint64_t i = 0; i < rings; i++)
		queue_notify(&dev, i % (QUEUE_REPORTING + 1)); /* each has a doorbell of its own */
	wait_for_host("after");
}

const struct test tests[] = {
	{"answers", test_answers},
	{"stays-inside", test_stays_inside},
	{0},
};
