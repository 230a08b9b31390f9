// SPDX-License-Identifier: Apache-2.0
/*
 * A ring in memory that the guest has given back: the device looks at it after somebody else on the host may have taken
 * the page. The host's side: test_taken.py
 */
#include "virtio.h"

#define LARGE (2 * MIB)

static struct queue queue;
static struct device dev;

static void test_ring(void)
{
	struct queue *inflate = (struct queue *)(uintptr_t)memory_free();
	const struct block there[] = {{memory_free(), LARGE}};
	uint32_t len;

	if (!device_find(&dev) || !device_negotiate(&dev, FEATURE_VERSION_1 | FEATURE_REPORTING))
		return;
	queue_place(&dev, QUEUE_INFLATE, inflate);
	queue_place(&dev, QUEUE_REPORTING, &queue);
	device_write(&dev, REG_STATUS, device_read(&dev, REG_STATUS) | STATUS_DRIVER_OK);
	if (!report(&dev, &queue, there, 1, &len))
		return;
	CHECK(len == LARGE, "used length %x: the ring's page is still there", len);
	wait_for_host("given back");
	queue_notify(&dev, QUEUE_INFLATE);
	/* The device has seen the doorbell before this one, which it answers. */
	if (!report(&dev, &queue, there, 1, &len))
		return;
	CHECK(inflate->used.index == 0 && is_zero(memory_free(), LARGE),
	      "the ring's page is not zero");
}

const struct test tests[] = {{"ring", test_ring}, {0}};
