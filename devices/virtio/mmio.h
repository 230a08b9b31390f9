/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio-mmio transport: the registers of virtio 1.2 §4.2 (modern layout, VERSION_1 only) over
 * core.h, which has the threads and locks. What is the transport's own is what its driver selects
 * and the causes of its one interrupt.
 */
#ifndef EBB_VIRTIO_MMIO_H
#define EBB_VIRTIO_MMIO_H

#include <stdatomic.h>
#include <stdint.h>

#include "devices/virtio/core.h"

#define VIRTIO_MMIO_SIZE	 0x1000 /* bytes of address space one device takes */
#define VIRTIO_MMIO_QUEUE_NOTIFY 0x050	/* the doorbell: a 4-byte write of a queue's number */

/* Registers of its own: vCPUs that write to the same one at once each do so whole. */
struct virtio_mmio {
	struct virtio_core core;

	_Atomic uint32_t device_features_sel;
	_Atomic uint32_t driver_features_sel;
	_Atomic uint32_t queue_sel;
	/* Causes are added before the interrupt is raised, and taken away by the driver. */
	_Atomic uint32_t interrupt_status;
};

/* @dev and its host outlive the transport. */
void virtio_mmio_init(struct virtio_mmio *mmio, struct virtio_device *dev);
void virtio_mmio_release(struct virtio_mmio *mmio);

/* A guest's access at @offset (0 … VIRTIO_MMIO_SIZE - 1) of @len bytes (1, 2, 4 or 8). */
void virtio_mmio_read(struct virtio_mmio *mmio, uint64_t offset, void *data, unsigned int len);
void virtio_mmio_write(struct virtio_mmio *mmio, uint64_t offset, const void *data,
		       unsigned int len);

#endif
