// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/mmio_slot.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "vmm/mem/discard.h"
#include "vmm/lib/log.h"
#include "vmm/lib/wake.h"

/* A flush of a slow disk takes seconds; a storage that hangs takes for ever. */
#define STOP_MS 10000

/* One line for all queues and the configuration: the device's registers say which it was. */
static void slot_interrupt(void *ctx, int source)
{
	struct mmio_slot *slot = ctx;

	(void)source;
	if (slot->interrupt >= 0) {
		wake_ring(slot->interrupt);
	} else {
		arch_irq_line(slot->platform, slot->place.gsi, 1);
		arch_irq_line(slot->platform, slot->place.gsi, 0);
	}
}

static void slot_defer(void *ctx)
{
	struct mmio_slot *slot = ctx;
	wake_ring(slot->doorbell.fd);
}

static size_t slot_discard(void *ctx, const struct gpa_range *range, size_t n,
			   struct discard_step *step, struct discard_result *result)
{
	struct mmio_slot *slot = ctx;
	return ram_discard(slot->host.ram, range, n, step, result);
}

static void doorbell_rang(void *ctx)
{
	struct mmio_slot *slot = ctx;
	/* However often it rang, one look at the queues answers it. */
	if (wake_take(slot->doorbell.fd))
		virtio_core_work(&slot->mmio.core);
}

static void slot_read(void *ctx, uint64_t offset, void *data, unsigned int len)
{
	struct mmio_slot *slot = ctx;
	virtio_mmio_read(&slot->mmio, offset, data, len);
}

static void slot_write(void *ctx, uint64_t offset, const void *data, unsigned int len)
{
	struct mmio_slot *slot = ctx;
	virtio_mmio_write(&slot->mmio, offset, data, len);
}

int mmio_slot_init(struct mmio_slot *slot, unsigned int index, const struct ram *ram,
		   const struct arch_platform *platform)
{
	*slot = (struct mmio_slot){
		.place =
			{
				.base = arch_map.virtio_base + (uint64_t)index * VIRTIO_MMIO_SIZE,
				.size = VIRTIO_MMIO_SIZE,
			},
		.host =
			{
				.ctx = slot,
				.ram = ram,
				.interrupt = slot_interrupt,
				.defer = slot_defer,
				.discard = slot_discard,
			},
		.doorbell = {.fd = -1, .ready = doorbell_rang, .ctx = slot},
		.platform = platform,
		.interrupt = -1,
	};
	int error = worker_init(&slot->worker);
	if (error)
		return error;
	int gsi = arch_virtio_gsi(index);
	if (gsi < 0) {
		log_error(
			"too many devices: a guest on %s has interrupt lines for %u; leave some out",
			arch_map.name, index);
		return gsi;
	}
	slot->place.gsi = (unsigned int)gsi;
	slot->doorbell.fd = wake_open();
	slot->interrupt = wake_open();
	if (slot->doorbell.fd < 0 || slot->interrupt < 0) {
		error = slot->doorbell.fd < 0 ? slot->doorbell.fd : slot->interrupt;
		log_error("cannot make an eventfd: %s", strerror(-error));
	}
	return error;
}

/* An irqfd, where the kernel can. */
static int wire_interrupt(struct mmio_slot *slot)
{
	int error = arch_irqfd(slot->platform, slot->place.gsi, slot->interrupt);
	if (error != -EOPNOTSUPP)
		return error;
	close(slot->interrupt);
	slot->interrupt = -1;
	return 0;
}

int mmio_slot_attach(struct mmio_slot *slot, struct virtio_device *dev, struct vm *vm,
		     struct bus *mmio)
{
	const struct bus_range range = {slot->place.base, slot->place.size, slot, slot_read,
					slot_write};

	virtio_mmio_init(&slot->mmio, dev);
	slot->attached = true;
	int error = bus_add(mmio, &range);
	if (!error)
		error = vm_ioeventfd(vm, slot->place.base + VIRTIO_MMIO_QUEUE_NOTIFY, 4,
				     slot->doorbell.fd);
	if (!error)
		error = wire_interrupt(slot);
	if (!error)
		error = loop_add(&slot->worker.loop, &slot->doorbell);
	return error;
}

int mmio_slot_start(struct mmio_slot *slot)
{
	return worker_start(&slot->worker, slot->mmio.core.dev->ops->name);
}

bool mmio_slot_stop(struct mmio_slot *slot)
{
	return worker_stop(&slot->worker, STOP_MS);
}

void mmio_slot_release(struct mmio_slot *slot)
{
	worker_release(&slot->worker);
	if (slot->attached)
		virtio_mmio_release(&slot->mmio);
	if (slot->interrupt >= 0)
		close(slot->interrupt);
	if (slot->doorbell.fd >= 0)
		close(slot->doorbell.fd);
	slot->attached = false;
	slot->interrupt = slot->doorbell.fd = -1;
}
