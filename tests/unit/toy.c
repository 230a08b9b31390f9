// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/toy.h"

#include <check.h>
#include <errno.h>
#include <linux/virtio_mmio.h>
#include <string.h>

struct toy toy;
struct fake_driver driver;

static int toy_activate(struct virtio_device *dev)
{
	toy.activated++;
	toy.features_at_activate = dev->features;
	return toy.activate_error;
}

static void toy_reset(struct virtio_device *dev)
{
	(void)dev;
	toy.resets++;
}

static int toy_work(struct virtio_device *dev, unsigned int queue)
{
	static struct virtq_chain chain;
	struct virtq *q = &dev->queue[queue];

	toy.worked++;
	if (toy.blocks) {
		toy.blocks = false;
		sem_post(&toy.within);
		sem_wait(&toy.go_on);
	}
	int popped = virtq_pop(q, &chain);
	if (popped < 0)
		return popped;
	if (popped)
		virtq_push(q, &chain, 7);
	else if (toy.idle)
		toy.idle(queue);
	return popped || toy.busy ? -EAGAIN : 0;
}

static void toy_config_read(struct virtio_device *dev, size_t offset, void *data, size_t len)
{
	(void)dev;
	ck_assert(len > 0 && offset < sizeof(toy.config) && len <= sizeof(toy.config) - offset);
	pthread_mutex_lock(&toy.lock);
	memcpy(data, &toy.config[offset], len);
	pthread_mutex_unlock(&toy.lock);
}

static void toy_config_write(struct virtio_device *dev, size_t offset, const void *data, size_t len)
{
	(void)dev;
	ck_assert(len > 0 && offset < sizeof(toy.config) && len <= sizeof(toy.config) - offset);
	pthread_mutex_lock(&toy.lock);
	memcpy(&toy.config[offset], data, len);
	pthread_mutex_unlock(&toy.lock);
}

static const struct virtio_device_ops toy_ops = {
	.id = 42,
	.name = "toy",
	.activate = toy_activate,
	.reset = toy_reset,
	.work = toy_work,
	.config_size = sizeof(toy.config),
	.config_read = toy_config_read,
	.config_write = toy_config_write,
};

void toy_setup(void)
{
	fake_driver_init(&driver);
	memset(&toy, 0, sizeof(toy));
	pthread_mutex_init(&toy.lock, NULL);
	toy.dev.ops = &toy_ops;
	toy.dev.host = &driver.host;
	toy.dev.features_offered = OFFERED;
	toy.dev.queues = 2;
	toy.dev.queue[0].size_max = SIZE;
	toy.dev.queue[1].size_max = VIRTIO_QUEUE_SIZE_MAX;
	sem_init(&toy.within, 0, 0);
	sem_init(&toy.go_on, 0, 0);
	fake_driver_plug(&driver, &toy.dev);
}

void toy_teardown(void)
{
	fake_driver_release(&driver);
	sem_destroy(&toy.within);
	sem_destroy(&toy.go_on);
	pthread_mutex_destroy(&toy.lock);
}

uint32_t toy_get(uint64_t offset)
{
	return fake_driver_get(&driver, offset);
}

void toy_set(uint64_t offset, uint32_t value)
{
	fake_driver_set(&driver, offset, value);
}

uint32_t status(void)
{
	return toy_get(VIRTIO_MMIO_STATUS);
}

void chain_add(unsigned int queue)
{
	const struct gpa_range buffer = {BLOCKS_GPA, 16};
	fake_queue_add(&driver.queue[queue], &buffer, 1, 0);
}

unsigned int chains_done(unsigned int queue)
{
	struct vring_used_elem element;
	unsigned int n = 0;
	while (fake_queue_used(&driver.queue[queue], &element))
		n++;
	return n;
}
