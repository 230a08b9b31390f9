/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A place in the machine for one virtio-mmio device: its address range on the bus, a doorbell for
 * each queue (an ioeventfd, so that a notification does not make the vCPU leave the kernel), its
 * interrupt, and its worker, which answers the doorbells.
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
		source; /* on the worker's loop; an eventfd, or -1 until the queue exists */
	struct loop_source timer; /* on the same loop; a timerfd, or -1 for an unpaced device */
	struct mmio_slot *slot;
};

struct mmio_slot {
	struct arch_device place;
	struct virtio_host host; /* for the device's init */
	struct virtio_mmio mmio;
	struct worker worker;
	struct mmio_doorbell doorbell[VIRTIO_QUEUES_MAX]; /* indexed by the queue's number */
	const struct arch_platform *platform;
	/*
	 * For servers of lent queues: an irqfd; if arch_irqfd() is not supported, an eventfd that the worker answers.
	 * A server's interrupt that falls into one of the device's own is lost: a device that interrupts while its queues
	 * are lent looks at them afterwards, as virtio-net does.
	 */
	struct loop_source interrupt;
	bool attached;
};

/*
 * Sets the slot's address, by its @place, its interrupt line, the one numbered @line of those for
 * virtio devices, and the host side for its device. Returns 0, or -errno after an error message.
 */
int mmio_slot_init(struct mmio_slot *slot, unsigned int place, unsigned int line,
		   const struct ram *ram, const struct arch_platform *platform);
void mmio_slot_release(struct mmio_slot *slot);

/* Plugs in @dev, created with &slot->host. Returns 0, or -errno after an error message. */
int mmio_slot_attach(struct mmio_slot *slot, struct virtio_device *dev, struct vm *vm,
		     struct bus *mmio);

/* Starts the device's worker, which serves nothing until mmio_slot_begin(). Returns 0, or -errno after an error message. */
int mmio_slot_start(struct mmio_slot *slot, const struct worker_guard *guard);
void mmio_slot_begin(struct mmio_slot *slot);
/* Tells the worker to end after the request in progress; returns at once. */
void mmio_slot_ask_to_stop(struct mmio_slot *slot);
/*
 * Ends the worker, and with it all work of the device. Waits for the request in progress until
 * @deadline (clock_ns()). Returns false if the worker has not ended: then mmio_slot_release() must
 * not be called. Otherwise mmio_slot_release() alone also ends the worker.
 */
bool mmio_slot_stop(struct mmio_slot *slot, uint64_t deadline);

#endif
