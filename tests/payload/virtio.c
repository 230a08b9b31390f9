// SPDX-License-Identifier: Apache-2.0
#include "virtio.h"

uint64_t device_at(struct device *dev)
{
	const char *text = parameter("virtio_mmio.device");
	if (!text)
		return 0;
	uint64_t size = number_at(&text);
	text++;
	dev->base = number_at(&text);
	text++;
	dev->gsi = number_at(&text);
	return size;
}

bool device_find(struct device *dev)
{
	uint64_t size = device_at(dev);
	if (!size) {
		test_fail("no virtio_mmio.device on the command line '%s'", command_line());
		return false;
	}
	if (size != 4096 || dev->base < HOLE || dev->base >= HOLE_END || dev->gsi == 0) {
		test_fail("a device of %lu bytes at %lx with interrupt %u", size, dev->base,
			  dev->gsi);
		return false;
	}
	return true;
}

uint32_t device_read(const struct device *dev, unsigned int reg)
{
	return mmio_read32(dev->base + reg);
}

void device_write(const struct device *dev, unsigned int reg, uint32_t value)
{
	mmio_write32(dev->base + reg, value);
}

uint64_t device_features(const struct device *dev)
{
	device_write(dev, REG_DEVICE_SELECT, 0);
	uint64_t features = device_read(dev, REG_DEVICE_FEATURES);
	device_write(dev, REG_DEVICE_SELECT, 1);
	return features | (uint64_t)device_read(dev, REG_DEVICE_FEATURES) << 32;
}

void device_reset(const struct device *dev)
{
	device_write(dev, REG_STATUS, 0);
}

bool device_negotiate(const struct device *dev, uint64_t features)
{
	const uint32_t status = STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK;

	device_reset(dev);
	device_write(dev, REG_STATUS, STATUS_ACKNOWLEDGE);
	device_write(dev, REG_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
	for (unsigned int half = 0; half < 2; half++) {
		device_write(dev, REG_DRIVER_SELECT, half);
		device_write(dev, REG_DRIVER_FEATURES, features >> (32 * half));
	}
	device_write(dev, REG_STATUS, status);
	uint32_t answer = device_read(dev, REG_STATUS);
	if (answer != status)
		test_fail("features %lx of %lx: status %x", features, device_features(dev), answer);
	return answer == status;
}

static void set_address(const struct device *dev, unsigned int reg, volatile void *at)
{
	device_write(dev, reg, (uint64_t)at);
	device_write(dev, reg + 4, (uint64_t)at >> 32);
}

void queue_place(const struct device *dev, unsigned int number, struct queue *q)
{
	memset(q, 0, sizeof(*q));
	device_write(dev, REG_QUEUE_SELECT, number);
	uint32_t most = device_read(dev, REG_QUEUE_SIZE_MAX);
	q->size = most < QUEUE_SIZE ? most : QUEUE_SIZE;
	device_write(dev, REG_QUEUE_SIZE, q->size);
	set_address(dev, REG_QUEUE_DESC, &q->desc);
	set_address(dev, REG_QUEUE_AVAIL, &q->avail);
	set_address(dev, REG_QUEUE_USED, &q->used);
	device_write(dev, REG_QUEUE_READY, 1);
}

bool reporting_start(struct device *dev, struct queue *q)
{
	if (!device_find(dev) || !device_negotiate(dev, FEATURE_VERSION_1 | FEATURE_REPORTING))
		return false;
	queue_place(dev, QUEUE_REPORTING, q);
	if (device_read(dev, REG_QUEUE_READY) != 1) {
		test_fail("the device refuses the reporting queue");
		return false;
	}
	device_write(dev, REG_STATUS, device_read(dev, REG_STATUS) | STATUS_DRIVER_OK);
	return true;
}

uint16_t queue_add(struct queue *q, const struct block *block, unsigned int n, uint16_t flags)
{
	/* All places once, in no order: 37 and the size have no common factor. */
	uint16_t head = q->next_desc * 37 % q->size, at = head;

	for (unsigned int i = 0; i < n; i++) {
		uint16_t next = ++q->next_desc * 37 % q->size;
		q->desc[at].gpa = block[i].gpa;
		q->desc[at].len = block[i].len;
		q->desc[at].flags = flags | (i + 1 < n ? DESC_NEXT : 0);
		q->desc[at].next = next;
		at = next;
	}
	q->avail.ring[q->avail.index % q->size] = head;
	fence();
	q->avail.index++;
	fence();
	return head;
}

void queue_notify(const struct device *dev, unsigned int number)
{
	device_write(dev, REG_QUEUE_NOTIFY, number);
}

bool queue_take(struct queue *q, uint32_t *id, uint32_t *len)
{
	uint64_t start = 0;

	while (q->used.index == q->seen) {
		if (!in_time(&start)) {
			test_fail("the device does not answer (%u so far)", q->seen);
			return false;
		}
	}
	fence();
	*id = q->used.ring[q->seen % q->size].id;
	*len = q->used.ring[q->seen % q->size].len;
	q->seen++;
	return true;
}

bool report(const struct device *dev, struct queue *q, const struct block *block, unsigned int n,
	    uint32_t *len)
{
	uint32_t id;
	uint16_t head = queue_add(q, block, n, DESC_WRITE);

	queue_notify(dev, QUEUE_REPORTING);
	if (!queue_take(q, &id, len))
		return false;
	if (id != head || q->used.index != q->seen)
		test_fail("chain %u was given back as %u, used index %u for %u", head, id,
			  q->used.index, q->seen);
	return id == head && q->used.index == q->seen;
}

/* Never 0, as long as @gpa is a multiple of 8. */
static uint64_t value_of(uint64_t gpa)
{
	return (gpa ^ 0x5bd1e995) * 0x9e3779b97f4a7c15;
}

void fill(uint64_t gpa, uint64_t size)
{
	for (uint64_t end = gpa + size; gpa < end; gpa += 8)
		store64(gpa, value_of(gpa));
}

bool is_filled(uint64_t gpa, uint64_t size)
{
	for (uint64_t end = gpa + size; gpa < end; gpa += 8)
		if (load64(gpa) != value_of(gpa))
			return false;
	return true;
}

bool is_zero(uint64_t gpa, uint64_t size)
{
	for (uint64_t end = gpa + size; gpa < end; gpa += 8)
		if (load64(gpa) != 0)
			return false;
	return true;
}
