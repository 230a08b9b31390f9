/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio-mmio transport: modern register layout, VERSION_1 only (virtio 1.2 §4.2).
 *
 * vCPU threads come in through virtio_mmio_read() and virtio_mmio_write(), the device's worker
 * through virtio_mmio_work() when the doorbell rings. Two locks: one for the registers, held for
 * moments; one for the device and its queues, held by the worker for as long as a chain takes, and
 * by the transport for reset, queue set-up and DRIVER_OK. A reset therefore waits until the chain in
 * flight is finished, which it must: after it the driver uses the memory again.
 */
#ifndef EBB_VIRTIO_MMIO_H
#define EBB_VIRTIO_MMIO_H

#include <pthread.h>
#include <stdint.h>

#include "devices/virtio/device.h"
#include "vmm/util/log.h"

#define VIRTIO_MMIO_SIZE	 0x1000 /* bytes of address space one device takes */
#define VIRTIO_MMIO_QUEUE_NOTIFY 0x050	/* the doorbell: a 4-byte write, of any value */

struct virtio_mmio {
	struct virtio_device *dev;
	/* Filled in by the transport's author: selectors, status, interrupt status, locks, … */
};

/* @dev and its host outlive the transport. Returns 0 or -errno. */
int virtio_mmio_init(struct virtio_mmio *mmio, struct virtio_device *dev);
void virtio_mmio_release(struct virtio_mmio *mmio);

/* A guest's access at @offset (0 … VIRTIO_MMIO_SIZE - 1) of @len bytes (1, 2, 4 or 8). */
void virtio_mmio_read(struct virtio_mmio *mmio, uint64_t offset, void *data, unsigned int len);
void virtio_mmio_write(struct virtio_mmio *mmio, uint64_t offset, const void *data,
		       unsigned int len);

/* The doorbell rang: serves all queues that are ready. On the device's worker only. */
void virtio_mmio_work(struct virtio_mmio *mmio);

#endif
