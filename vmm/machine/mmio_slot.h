/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A place in the machine for one virtio-mmio device: its address range on the bus, a doorbell for each
 * queue (an ioeventfd, so that a notification does not stop the vCPU outside the kernel), its interrupt
 * (an irqfd), and its worker, which answers the doorbells.
 *
 * Thread: main, except the functions that slot->host offers the device.
 */
#ifndef EBB_MACHINE_MMIO_SLOT_H
#define EBB_MACHINE_MMIO_SLOT_H

#include "devices/virtio/mmio.h"
#include "vmm/arch/arch.h"
#include "devices/bus.h"
#include "vmm/kvm/vm.h"
#include "vmm/mem/ram.h"
#include "vmm/lib/worker.h"

/* Rung by KVM, by the core and by the device itself. */
struct mmio_doorbell {
	struct loop_source
		source; /* on the worker's loop; an eventfd, -1 before the queue is there */
	struct loop_source timer; /* on the same loop; a timerfd, -1 if the device is not paced */
	struct mmio_slot *slot;
};

struct mmio_slot {
	struct arch_device place;
	struct virtio_host host; /* for the device's init */
	struct virtio_mmio mmio;
	struct worker worker;
	struct mmio_doorbell doorbell[VIRTIO_QUEUES_MAX]; /* by the queue's number */
	const struct arch_platform *platform;
	int interrupt; /* eventfd, or -1: the interrupt controller is ours */
	bool attached;
};

/*
 * Sets the slot's place, by its @index, and the host side for its device. Returns 0, or -errno after an
 * error message.
 */
int mmio_slot_init(struct mmio_slot *slot, unsigned int index, const struct ram *ram,
		   const struct arch_platform *platform);
void mmio_slot_release(struct mmio_slot *slot);

/* Plugs in @dev, which was made with &slot->host. Returns 0, or -errno after an error message. */
int mmio_slot_attach(struct mmio_slot *slot, struct virtio_device *dev, struct vm *vm,
		     struct bus *mmio);

/* Starts its worker. Returns 0, or -errno after an error message. */
int mmio_slot_start(struct mmio_slot *slot);
/* Tells the worker to end after the request in progress; returns at once. */
void mmio_slot_ask_to_stop(struct mmio_slot *slot);
/*
 * Ends the worker: the device does nothing more. Waits for the request in progress until @deadline (clock_ns()).
 * Returns false if the worker has not ended: then mmio_slot_release() must not be called. Otherwise that ends the
 * worker by itself, too.
 */
bool mmio_slot_stop(struct mmio_slot *slot, uint64_t deadline);

#endif
