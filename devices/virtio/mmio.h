/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio-mmio transport: the registers of virtio 1.2 §4.2 (modern layout, VERSION_1 only) over
 * core.h, which documents threads and locks. The transport itself keeps only what its driver selects
 * and the causes of its one interrupt.
 */
#ifndef EBB_VIRTIO_MMIO_H
#define EBB_VIRTIO_MMIO_H

#include <stdatomic.h>
#include <stdint.h>

#include "devices/virtio/core.h"

#define VIRTIO_MMIO_SIZE	 0x1000 /* bytes of address space one device takes */
#define VIRTIO_MMIO_QUEUE_NOTIFY 0x050	/* the doorbell: a 4-byte write of a queue's number */

/* Its own registers are atomic: each of several vCPUs that write at once writes a whole value. */
struct virtio_mmio {
	struct virtio_core core;

	_Atomic uint32_t device_features_sel;
	_Atomic uint32_t driver_features_sel;
	_Atomic uint32_t queue_sel;
	/* Causes are set before the interrupt is raised, and cleared by the driver. */
	_Atomic uint32_t interrupt_status;
};

/* @dev and its host outlive the transport. */
void virtio_mmio_init(struct virtio_mmio *mmio, struct virtio_device *dev);
void virtio_mmio_release(struct virtio_mmio *mmio);

/* Handle a guest's access at @offset (0 … VIRTIO_MMIO_SIZE - 1) of @len bytes (1, 2, 4 or 8). */
void virtio_mmio_read(struct virtio_mmio *mmio, uint64_t offset, void *data, unsigned int len);
void virtio_mmio_write(struct virtio_mmio *mmio, uint64_t offset, const void *data,
		       unsigned int len);

/*
 * Whether this write starts or stops the device or a queue. Then the device makes system calls, and may wait for the host: its
 * own worker has to do it. Any other write does neither.
 */
bool virtio_mmio_starts_or_stops(uint64_t offset, const void *data, unsigned int len);

/*
 * As virtio_core_save() and virtio_core_restore(), with the transport's own registers. An interrupt that the driver
 * has not acknowledged is raised again: restore the interrupt controllers before.
 */
void virtio_mmio_save(struct virtio_mmio *mmio, struct record *record);
int virtio_mmio_restore(struct virtio_mmio *mmio, struct record_in *in, struct why *why);

#endif
