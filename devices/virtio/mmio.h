/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio-mmio transport: modern register layout, VERSION_1 only (virtio 1.2 §4.2).
 *
 * vCPU threads come in through virtio_mmio_read() and virtio_mmio_write(), the device's worker
 * through virtio_mmio_work() when the doorbell rings. Two locks: one for the registers, held for
 * moments; one for the device and its queues, held by the worker while one queue is served, and
 * by the transport for reset, queue start and stop, and DRIVER_OK. A reset therefore waits until
 * what is in flight is finished, which it must: after it the driver uses the memory again. It waits
 * for no more than that: the worker comes back to a device with more to do through host->defer(),
 * and whoever waits for the device goes first. The configuration space is guarded by the device
 * itself: a vCPU that looks at it waits for nothing in flight, nor does anybody who has it changed.
 *
 * A driver that breaks the rules finds DEVICE_NEEDS_RESET in the status and a configuration change
 * interrupt; its rings are left alone until it resets the device.
 */
#ifndef EBB_VIRTIO_MMIO_H
#define EBB_VIRTIO_MMIO_H

#include <pthread.h>
#include <stdint.h>

#include "devices/virtio/device.h"
#include "vmm/lib/log.h"

#define VIRTIO_MMIO_SIZE	 0x1000 /* bytes of address space one device takes */
#define VIRTIO_MMIO_QUEUE_NOTIFY 0x050	/* the doorbell: a 4-byte write, of any value */

/*
 * Locks are taken in this order. `next` is held while waiting for `device` and by nobody else: a
 * mutex alone would let the worker take `device` again and again before a vCPU that waits wakes up.
 */
struct virtio_mmio {
	struct virtio_device *dev;
	struct log_limit log;

	pthread_mutex_t next;
	pthread_mutex_t device;
	pthread_mutex_t registers;

	/* Written with `device` and `registers` held, as are dev->features and every queue's
	 * `ready`: either is enough to read them. */
	uint32_t status;
	/* Under `registers`, as is what the driver sets of a queue that is not ready. */
	uint32_t interrupt_status;
	uint32_t device_features_sel;
	uint32_t driver_features_sel;
	uint64_t driver_features;
	uint32_t queue_sel;
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
