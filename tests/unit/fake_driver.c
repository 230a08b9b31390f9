// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/fake_driver.h"

#include <check.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/wake.h"

static void host_interrupt(void *ctx, int source)
{
	struct fake_driver *driver = ctx;
	atomic_store(&driver->interrupted_by, source);
	atomic_fetch_add(&driver->interrupts, 1);
}

static void host_defer(void *ctx, unsigned int queue)
{
	struct fake_driver *driver = ctx;
	atomic_fetch_or(&driver->deferred, 1u << queue);
}

static int host_doorbell(void *ctx, unsigned int queue)
{
	struct fake_driver *driver = ctx;
	if (driver->doorbell[queue] < 0)
		driver->doorbell[queue] = wake_open();
	return driver->doorbell[queue];
}

static int host_call(void *ctx, unsigned int queue)
{
	struct fake_driver *driver = ctx;
	(void)queue;
	if (driver->call < 0)
		driver->call = wake_open();
	return driver->call;
}

static void host_lend(void *ctx, unsigned int queue, bool lent)
{
	struct fake_driver *driver = ctx;
	driver->muted = (driver->muted & ~(1u << queue)) | (unsigned int)lent << queue;
}

static void host_defer_until(void *ctx, unsigned int queue, uint64_t ns)
{
	struct fake_driver *driver = ctx;
	ck_assert(driver->mmio.core.dev->ops->paced);
	ck_assert_uint_lt(queue, VIRTIO_QUEUES_MAX);
	driver->deferred_until = ns;
}

static size_t host_discard(void *ctx, const struct gpa_range *range, size_t n,
			   struct discard_step *step, struct discard_result *result)
{
	struct fake_driver *driver = ctx;
	driver->discards++;
	return ram_discard(&driver->ram, range, n, step, result);
}

static void init(struct fake_driver *driver, const struct ram_config *config)
{
	const struct gpa_range span[] = {{0, LOW_END}, {HIGH_GPA, HIGH_END - HIGH_GPA}};

	memset(driver, 0, sizeof(*driver));
	ck_assert_int_eq(ram_init(&driver->ram, config, span, 2), 0);
	for (unsigned int i = 0; i < VIRTIO_QUEUES_MAX; i++)
		driver->doorbell[i] = -1;
	driver->call = -1;
	/* khugepaged may fill a hole again: right, but a test looks for the hole. */
	for (unsigned int i = 0; i < driver->ram.regions; i++)
		madvise(driver->ram.region[i].hva, driver->ram.region[i].size, MADV_NOHUGEPAGE);
	driver->host = (struct virtio_host){
		.ctx = driver,
		.ram = &driver->ram,
		.interrupt = host_interrupt,
		.defer = host_defer,
		.doorbell = host_doorbell,
		.call = host_call,
		.lend = host_lend,
		.defer_until = host_defer_until,
		.discard = host_discard,
	};
}

void fake_driver_init(struct fake_driver *driver)
{
	init(driver, &(struct ram_config)RAM_CONFIG_DEFAULT);
}

void fake_driver_init_shared(struct fake_driver *driver)
{
	init(driver, &(struct ram_config){.backing = RAM_MEMFD, .numa_node = -1});
}

void fake_driver_plug(struct fake_driver *driver, struct virtio_device *dev)
{
	virtio_mmio_init(&driver->mmio, dev);
}

void fake_driver_release(struct fake_driver *driver)
{
	if (driver->mmio.core.dev)
		virtio_mmio_release(&driver->mmio);
	for (unsigned int i = 0; i < VIRTIO_QUEUES_MAX; i++)
		if (driver->doorbell[i] >= 0)
			close(driver->doorbell[i]);
	if (driver->call >= 0)
		close(driver->call);
	ram_release(&driver->ram);
}

void *fake_driver_at(struct fake_driver *driver, uint64_t gpa, uint64_t len)
{
	void *at = ram_at(&driver->ram, gpa, len);
	ck_assert_ptr_nonnull(at);
	return at;
}

uint32_t fake_driver_get(struct fake_driver *driver, uint64_t offset)
{
	uint32_t value;
	virtio_mmio_read(&driver->mmio, offset, &value, sizeof(value));
	return value;
}

void fake_driver_set(struct fake_driver *driver, uint64_t offset, uint32_t value)
{
	virtio_mmio_write(&driver->mmio, offset, &value, sizeof(value));
}

size_t fake_driver_save(struct fake_driver *driver, uint8_t *data, size_t size)
{
	struct record record = {data, size, 0, false};

	ck_assert(virtio_core_can_save(&driver->mmio.core));
	ck_assert(virtio_core_freeze(&driver->mmio.core, clock_ns() + NS_PER_S));
	virtio_mmio_save(&driver->mmio, &record);
	virtio_core_thaw(&driver->mmio.core);
	ck_assert(!record.full);
	return record.len;
}

uint32_t fake_driver_negotiate(struct fake_driver *driver, uint64_t features)
{
	fake_driver_set(driver, VIRTIO_MMIO_STATUS, 0);
	fake_driver_set(driver, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	fake_driver_set(driver, VIRTIO_MMIO_STATUS,
			VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	fake_driver_set(driver, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	fake_driver_set(driver, VIRTIO_MMIO_DRIVER_FEATURES, features >> 32);
	fake_driver_set(driver, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	fake_driver_set(driver, VIRTIO_MMIO_DRIVER_FEATURES, features);
	fake_driver_set(driver, VIRTIO_MMIO_STATUS,
			VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
				VIRTIO_CONFIG_S_FEATURES_OK);
	return fake_driver_get(driver, VIRTIO_MMIO_STATUS);
}

void fake_queue_init(struct fake_driver *driver, unsigned int queue, unsigned int size)
{
	uint8_t *rings = fake_driver_at(driver, RINGS_GPA + queue * RINGS_SIZE, RINGS_SIZE);

	memset(rings, 0, RINGS_SIZE);
	driver->queue[queue] = (struct fake_queue){
		.size = size,
		.desc = (struct vring_desc *)rings,
		.avail = (struct vring_avail *)(rings + 16 * KIB),
		.used = (struct vring_used *)(rings + 32 * KIB),
	};
}

void fake_driver_addresses(struct fake_driver *driver, unsigned int queue, unsigned int size)
{
	uint64_t gpa = RINGS_GPA + queue * RINGS_SIZE;

	fake_queue_init(driver, queue, size);
	fake_driver_set(driver, VIRTIO_MMIO_QUEUE_SEL, queue);
	fake_driver_set(driver, VIRTIO_MMIO_QUEUE_NUM, size);
	fake_driver_set(driver, VIRTIO_MMIO_QUEUE_DESC_LOW, gpa);
	fake_driver_set(driver, VIRTIO_MMIO_QUEUE_DESC_HIGH, 0);
	fake_driver_set(driver, VIRTIO_MMIO_QUEUE_AVAIL_LOW, gpa + 16 * KIB);
	fake_driver_set(driver, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, 0);
	fake_driver_set(driver, VIRTIO_MMIO_QUEUE_USED_LOW, gpa + 32 * KIB);
	fake_driver_set(driver, VIRTIO_MMIO_QUEUE_USED_HIGH, 0);
}

void fake_driver_queue(struct fake_driver *driver, unsigned int queue, unsigned int size)
{
	fake_driver_addresses(driver, queue, size);
	fake_driver_set(driver, VIRTIO_MMIO_QUEUE_READY, 1);
}

void fake_driver_ok(struct fake_driver *driver)
{
	uint32_t status = fake_driver_get(driver, VIRTIO_MMIO_STATUS);
	fake_driver_set(driver, VIRTIO_MMIO_STATUS, status | VIRTIO_CONFIG_S_DRIVER_OK);
}

void fake_driver_start(struct fake_driver *driver, uint64_t features, unsigned int queues,
		       unsigned int size)
{
	ck_assert_uint_eq(fake_driver_negotiate(driver, features) & VIRTIO_CONFIG_S_FEATURES_OK,
			  VIRTIO_CONFIG_S_FEATURES_OK);
	for (unsigned int i = 0; i < queues; i++)
		fake_driver_queue(driver, i, size);
	fake_driver_ok(driver);
	fake_driver_work(driver);
}

void fake_queue_desc(struct fake_queue *queue, unsigned int index, uint64_t gpa, uint32_t len,
		     uint16_t flags, uint16_t next)
{
	queue->desc[index] = (struct vring_desc){gpa, len, flags, next};
}

void fake_queue_publish(struct fake_queue *queue, uint16_t head)
{
	uint16_t idx = queue->avail->idx;
	queue->avail->ring[idx % queue->size] = head;
	__atomic_store_n(&queue->avail->idx, idx + 1, __ATOMIC_RELEASE);
}

uint16_t fake_queue_add(struct fake_queue *queue, const struct gpa_range *buffer, unsigned int n,
			unsigned int readable)
{
	uint16_t head = queue->next_desc % queue->size;

	for (unsigned int i = 0; i < n; i++) {
		uint16_t index = queue->next_desc++ % queue->size;
		uint16_t flags = i + 1 < n ? VRING_DESC_F_NEXT : 0;
		if (i >= readable)
			flags |= VRING_DESC_F_WRITE;
		fake_queue_desc(queue, index, buffer[i].gpa, buffer[i].len, flags,
				queue->next_desc % queue->size);
	}
	fake_queue_publish(queue, head);
	return head;
}

bool fake_queue_used(struct fake_queue *queue, struct vring_used_elem *element)
{
	if (__atomic_load_n(&queue->used->idx, __ATOMIC_ACQUIRE) == queue->used_seen)
		return false;
	*element = queue->used->ring[queue->used_seen++ % queue->size];
	return true;
}

bool fake_driver_turn(struct fake_driver *driver)
{
	const unsigned int muted = driver->muted;
	unsigned int deferred = atomic_fetch_and(&driver->deferred, muted) & ~muted;

	for (unsigned int i = 0; i < VIRTIO_QUEUES_MAX; i++)
		if (!(muted >> i & 1) && driver->doorbell[i] >= 0 && wake_take(driver->doorbell[i]))
			deferred |= 1u << i;
	for (unsigned int i = 0; deferred >> i; i++)
		if (deferred >> i & 1)
			virtio_core_work(&driver->mmio.core, i);
	return deferred;
}

void fake_driver_work(struct fake_driver *driver)
{
	while (fake_driver_turn(driver))
		;
}

void fake_driver_spurious(struct fake_driver *driver)
{
	for (unsigned int i = 0; i < driver->mmio.core.dev->queues; i++)
		virtio_core_work(&driver->mmio.core, i);
}

void fake_driver_kick(struct fake_driver *driver, unsigned int queue)
{
	fake_driver_set(driver, VIRTIO_MMIO_QUEUE_NOTIFY, queue);
	fake_driver_work(driver);
}
