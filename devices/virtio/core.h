/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio device as its driver operates it, through whatever transport: status and features, queues,
 * the configuration space, notifications and interrupts (virtio 1.2 §2 and §3). A transport (mmio.h)
 * turns accesses to its registers into calls of this; README.md beside this file shows the cut.
 *
 * Threads: vCPUs come in through the transport, the device's worker through virtio_core_work().
 * Three locks, in this order: `next` and `device` for the device and its queues, held by the worker
 * while one queue is served, and for reset, queue start and stop, and DRIVER_OK; `state` for what is
 * below it, held for moments. A reset therefore waits until what is in flight is finished, which it
 * must: after it the driver uses the memory again. It waits for no more than that: the worker comes
 * back to a queue with more to do through host->defer(), and a vCPU that waits for the device goes
 * first. The configuration space is guarded by the device itself: neither a vCPU that accesses it nor
 * a thread that has it changed waits for anything in flight.
 *
 * A driver that breaks the rules, and one whose device cannot be activated, finds DEVICE_NEEDS_RESET
 * in the status and a configuration change interrupt; its rings are left alone until it resets the
 * device.
 */
#ifndef EBB_VIRTIO_CORE_H
#define EBB_VIRTIO_CORE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/virtio/device.h"
#include "vmm/lib/log.h"

struct virtio_core;

/* What a transport does for the core, which calls it with its `state` lock held. */
struct virtio_transport {
	/*
	 * Passes an interrupt on to host->interrupt(), having noted for the driver what its transport
	 * notes. @source is as there. On any thread.
	 */
	void (*interrupt)(struct virtio_core *core, int source);
	/* The driver has reset the device: the transport's registers are back at their start. */
	void (*reset)(struct virtio_core *core);
};

/*
 * Embedded in the transport's own struct. `next` is held while waiting for `device` and by nobody
 * else: a mutex alone would let the worker take `device` again and again before a vCPU that waits
 * wakes up.
 */
struct virtio_core {
	struct virtio_device *dev;
	const struct virtio_transport *transport;
	struct log_limit log;

	pthread_mutex_t next;
	pthread_mutex_t device;
	pthread_mutex_t state;

	/* Written with `device` and `state` held, as are dev->features and every queue's `ready`:
	 * either is enough to read them. */
	uint32_t status;
	/* Under `state`, as is what the driver sets of a queue that is not ready. */
	uint64_t driver_features;
};

/* @dev, its host and @transport outlive the core. */
void virtio_core_init(struct virtio_core *core, struct virtio_device *dev,
		      const struct virtio_transport *transport);
void virtio_core_release(struct virtio_core *core);

/*
 * The rest is for transports, on a vCPU's thread unless it says otherwise. Every argument may be the
 * guest's: what is not there reads as 0, and setting it has no effect.
 */

/* The device status (§2.1). Bits are only ever added; 0 resets the device. */
uint32_t virtio_core_status(struct virtio_core *core);
void virtio_core_set_status(struct virtio_core *core, uint32_t value);

/* Feature bits 32 * @word to 32 * @word + 31: those that are offered, and those the driver takes. */
uint32_t virtio_core_features(struct virtio_core *core, uint32_t word);
void virtio_core_set_features(struct virtio_core *core, uint32_t word, uint32_t value);

/* How many entries @queue can have: 0 where the device has no such queue. */
uint32_t virtio_core_queue_size_max(struct virtio_core *core, uint32_t queue);

/* How many it has, and where its parts are: one half of an address at a time. */
enum virtio_ring_part { VIRTIO_RING_DESC, VIRTIO_RING_AVAIL, VIRTIO_RING_USED };
void virtio_core_set_queue_size(struct virtio_core *core, uint32_t queue, uint32_t size);
void virtio_core_set_queue_address(struct virtio_core *core, uint32_t queue,
				   enum virtio_ring_part part, bool high, uint32_t value);

/* A queue can be stopped at any time, but not started again without a reset (§4.2.2.2). */
bool virtio_core_queue_ready(struct virtio_core *core, uint32_t queue);
void virtio_core_set_queue_ready(struct virtio_core *core, uint32_t queue, bool ready);

/* Has @queue served soon. Where KVM itself rings its doorbell, only numbers of no queue come here. */
void virtio_core_notify(struct virtio_core *core, uint32_t queue);

/* The configuration space at any @offset and of any @len; bytes beyond it read as 0. */
uint32_t virtio_core_config_generation(struct virtio_core *core);
void virtio_core_config_read(struct virtio_core *core, uint64_t offset, void *data, size_t len);
void virtio_core_config_write(struct virtio_core *core, uint64_t offset, const void *data,
			      size_t len);

/* Serves @queue for a turn, if the device runs and it is ready. On the device's worker only. */
void virtio_core_work(struct virtio_core *core, unsigned int queue);

#endif
