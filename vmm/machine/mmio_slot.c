// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/mmio_slot.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "vmm/mem/discard.h"
#include "vmm/lib/log.h"
#include "vmm/lib/wake.h"

/*
 * All queues and the configuration share one line: the device's registers tell which it was. By the line itself: of
 * x86's I/O APIC, KVM answers an irqfd on a thread of its own, which has to be woken first.
 */
static void slot_interrupt(void *ctx, int source)
{
	struct mmio_slot *slot = ctx;
	(void)source;
	arch_irq_line(slot->platform, slot->place.gsi, 1);
	arch_irq_line(slot->platform, slot->place.gsi, 0);
}

/* Without an irqfd: a server of lent queues wants an interrupt. */
static void interrupt_rang(void *ctx)
{
	struct mmio_slot *slot = ctx;
	if (wake_take(slot->interrupt.fd))
		slot_interrupt(slot, VIRTIO_INTERRUPT_CONFIG);
}

static int slot_call(void *ctx, unsigned int queue)
{
	const struct mmio_slot *slot = ctx;
	(void)queue;
	return slot->interrupt.fd;
}

static void slot_lend(void *ctx, unsigned int queue, bool lent)
{
	struct mmio_slot *slot = ctx;
	if (lent)
		loop_mute(&slot->worker.loop, &slot->doorbell[queue].source);
	else
		loop_wait_for(&slot->worker.loop, &slot->doorbell[queue].source, false);
}

static void slot_defer(void *ctx, unsigned int queue)
{
	struct mmio_slot *slot = ctx;
	wake_ring(slot->doorbell[queue].source.fd);
}

static int slot_doorbell(void *ctx, unsigned int queue)
{
	const struct mmio_slot *slot = ctx;
	return slot->doorbell[queue].source.fd;
}

static void slot_defer_until(void *ctx, unsigned int queue, uint64_t ns)
{
	struct mmio_slot *slot = ctx;
	wake_timer_at(slot->doorbell[queue].timer.fd, ns);
}

static size_t slot_discard(void *ctx, const struct gpa_range *range, size_t n,
			   struct discard_step *step, struct discard_result *result)
{
	struct mmio_slot *slot = ctx;
	return ram_discard(slot->host.ram, range, n, step, result);
}

static void doorbell_rang(void *ctx)
{
	struct mmio_doorbell *doorbell = ctx;
	struct mmio_slot *slot = doorbell->slot;
	/* One check of the queue answers any number of rings. */
	if (wake_take(doorbell->source.fd))
		virtio_core_work(&slot->mmio.core, doorbell - slot->doorbell);
}

static void timer_rang(void *ctx)
{
	struct mmio_doorbell *doorbell = ctx;
	struct mmio_slot *slot = doorbell->slot;
	if (wake_take(doorbell->timer.fd))
		virtio_core_work(&slot->mmio.core, doorbell - slot->doorbell);
}

static void slot_read(void *ctx, uint64_t offset, void *data, unsigned int len)
{
	struct mmio_slot *slot = ctx;
	virtio_mmio_read(&slot->mmio, offset, data, len);
}

struct register_write {
	struct mmio_slot *slot;
	uint64_t offset;
	const void *data;
	unsigned int len;
};

static void write_there(void *ctx)
{
	const struct register_write *write = ctx;
	virtio_mmio_write(&write->slot->mmio, write->offset, write->data, write->len);
}

/* A vCPU's thread may not make the system calls that start and stop a device. */
static void slot_write(void *ctx, uint64_t offset, const void *data, unsigned int len)
{
	struct mmio_slot *slot = ctx;
	struct register_write write = {slot, offset, data, len};

	if (virtio_mmio_starts_or_stops(offset, data, len))
		worker_do(&slot->worker, write_there, &write);
	else
		write_there(&write);
}

static int eventfd_open(int *fd)
{
	*fd = wake_open();
	if (*fd >= 0)
		return 0;
	log_error("cannot create an eventfd: %s", strerror(-*fd));
	return *fd;
}

int mmio_slot_init(struct mmio_slot *slot, unsigned int place, unsigned int line,
		   const struct ram *ram, const struct arch_platform *platform)
{
	*slot = (struct mmio_slot){
		.place =
			{
				.base = arch_map.virtio_base + (uint64_t)place * VIRTIO_MMIO_SIZE,
				.size = VIRTIO_MMIO_SIZE,
			},
		.host =
			{
				.ctx = slot,
				.ram = ram,
				.interrupt = slot_interrupt,
				.defer = slot_defer,
				.doorbell = slot_doorbell,
				.call = slot_call,
				.lend = slot_lend,
				.defer_until = slot_defer_until,
				.discard = slot_discard,
			},
		.platform = platform,
		.interrupt = {-1, interrupt_rang, slot},
	};
	for (unsigned int i = 0; i < VIRTIO_QUEUES_MAX; i++) {
		struct mmio_doorbell *doorbell = &slot->doorbell[i];
		doorbell->source = (struct loop_source){-1, doorbell_rang, doorbell};
		doorbell->timer = (struct loop_source){-1, timer_rang, doorbell};
		doorbell->slot = slot;
	}
	int error = worker_init(&slot->worker);
	if (error)
		return error;
	int gsi = arch_virtio_gsi(line);
	if (gsi < 0) {
		log_error(
			"too many devices: a guest on %s has interrupt lines for %u; leave some out, "
			"perhaps the network with -n none",
			arch_map.name, line);
		return gsi;
	}
	slot->place.gsi = (unsigned int)gsi;
	return eventfd_open(&slot->interrupt.fd);
}

static int watch(struct mmio_slot *slot, struct loop_source *source)
{
	int error = loop_add(&slot->worker.loop, source);
	if (error)
		log_error("a device's worker cannot wait for its queues: %s", strerror(-error));
	return error;
}

/* A driver notifies a queue by writing its number (virtio 1.2 §4.2.2). */
static int hang_doorbell(struct mmio_slot *slot, unsigned int queue, struct vm *vm)
{
	struct loop_source *source = &slot->doorbell[queue].source;

	int error = eventfd_open(&source->fd);
	if (!error)
		error = vm_ioeventfd(vm, slot->place.base + VIRTIO_MMIO_QUEUE_NOTIFY, 4, queue,
				     source->fd);
	return error ? error : watch(slot, source);
}

static int set_timer_up(struct mmio_slot *slot, unsigned int queue)
{
	struct loop_source *timer = &slot->doorbell[queue].timer;

	timer->fd = wake_timer_open();
	if (timer->fd >= 0)
		return watch(slot, timer);
	log_error("cannot create a timer: %s", strerror(-timer->fd));
	return timer->fd;
}

/* Wires an irqfd for servers of lent queues, if the kernel can. */
static int wire_interrupt(struct mmio_slot *slot)
{
	int error = arch_irqfd(slot->platform, slot->place.gsi, slot->interrupt.fd);
	return error == -EOPNOTSUPP ? watch(slot, &slot->interrupt) : error;
}

int mmio_slot_attach(struct mmio_slot *slot, struct virtio_device *dev, struct vm *vm,
		     struct bus *mmio)
{
	const struct bus_range range = {slot->place.base, slot->place.size, slot, slot_read,
					slot_write};

	virtio_mmio_init(&slot->mmio, dev);
	slot->attached = true;
	int error = bus_add(mmio, &range);
	for (unsigned int i = 0; i < dev->queues && !error; i++) {
		error = hang_doorbell(slot, i, vm);
		if (!error && dev->ops->paced)
			error = set_timer_up(slot, i);
	}
	return error ? error : wire_interrupt(slot);
}

int mmio_slot_start(struct mmio_slot *slot, const struct worker_guard *guard)
{
	worker_hold(&slot->worker);
	return worker_start(&slot->worker, slot->mmio.core.dev->ops->name, guard);
}

void mmio_slot_begin(struct mmio_slot *slot)
{
	worker_begin(&slot->worker);
}

void mmio_slot_ask_to_stop(struct mmio_slot *slot)
{
	loop_stop(&slot->worker.loop);
}

bool mmio_slot_stop(struct mmio_slot *slot, uint64_t deadline)
{
	return worker_stop(&slot->worker, deadline) &&
	       (!slot->attached || virtio_core_stop(&slot->mmio.core, deadline));
}

static void close_if_open(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void mmio_slot_release(struct mmio_slot *slot)
{
	worker_release(&slot->worker);
	if (slot->attached)
		virtio_mmio_release(&slot->mmio);
	close_if_open(&slot->interrupt.fd);
	for (unsigned int i = 0; i < VIRTIO_QUEUES_MAX; i++) {
		close_if_open(&slot->doorbell[i].source.fd);
		close_if_open(&slot->doorbell[i].timer.fd);
	}
	slot->attached = false;
}
