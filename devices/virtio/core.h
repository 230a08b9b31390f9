/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of a virtio device that its driver operates, over any transport: status and features, queues,
 * the configuration space, notifications and interrupts (virtio 1.2 §2 and §3). A transport (mmio.h)
 * turns accesses to its registers into calls of these functions; see README.md beside this file.
 *
 * Threads: vCPUs call through the transport, the device's worker calls virtio_core_work().
 * Three locks, in this order: `next` and `device` for the device and its queues, held by the worker
 * while one queue is served, and for reset, queue start and stop, and DRIVER_OK; `state` for the fields
 * below it, held only briefly. A reset therefore waits until the chains in flight are finished, as it
 * must: after it the driver uses the memory again. It waits only for these: the worker returns
 * to a queue with more to do through host->defer(), and a vCPU that waits for the device goes first.
 * The device itself guards the configuration space: neither a vCPU that accesses it nor a thread that
 * changes it waits for a chain in flight.
 *
 * If a driver breaks the rules, or its device cannot be activated, the status gets DEVICE_NEEDS_RESET,
 * the driver gets a configuration change interrupt, and its rings are left alone until it resets the
 * device.
 */
#ifndef EBB_VIRTIO_CORE_H
#define EBB_VIRTIO_CORE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/virtio/device.h"
#include "vmm/lib/log.h"
#include "vmm/lib/record.h"
#include "vmm/lib/why.h"

struct virtio_core;

/* A transport's functions for the core, which calls them with its `state` lock held. */
struct virtio_transport {
	/*
	 * Records the cause where the transport's driver looks for it, and passes the interrupt on to
	 * host->interrupt(), with the same @source. Any thread.
	 */
	void (*interrupt)(struct virtio_core *core, int source);
	/* Restores the initial values of the transport's registers: the driver has reset the device. */
	void (*reset)(struct virtio_core *core);
};

/*
 * Embedded in the transport's own struct. `next` is held only while waiting for `device`: a single
 * mutex would let the worker take `device` again and again before a waiting vCPU wakes up.
 */
struct virtio_core {
	struct virtio_device *dev;
	const struct virtio_transport *transport;
	struct log_limit log;

	pthread_mutex_t next;
	pthread_mutex_t device;
	pthread_mutex_t state;

	/* Written with `device` and `state` held, as are dev->features and every queue's `ready`:
	 * holding one of them is enough to read. */
	uint32_t status;
	/* Under `state`, as are a queue's size and addresses while it is not ready. */
	uint64_t driver_features;
};

/* @dev, its host and @transport outlive the core. */
void virtio_core_init(struct virtio_core *core, struct virtio_device *dev,
		      const struct virtio_transport *transport);
void virtio_core_release(struct virtio_core *core);

/*
 * The rest is for transports. Thread: a vCPU's, unless said otherwise. Every argument may come from the
 * guest: a queue or word that does not exist reads as 0, and setting it has no effect.
 */

/* The device status (§2.1). Bits are only ever added; 0 resets the device. */
uint32_t virtio_core_status(struct virtio_core *core);
void virtio_core_set_status(struct virtio_core *core, uint32_t value);

/*
 * Feature bits 32 * @word to 32 * @word + 31: return those offered, set those that the driver
 * accepts.
 */
uint32_t virtio_core_features(struct virtio_core *core, uint32_t word);
void virtio_core_set_features(struct virtio_core *core, uint32_t word, uint32_t value);

/* Returns how many entries @queue can have, 0 if the device has no such queue. */
uint32_t virtio_core_queue_size_max(struct virtio_core *core, uint32_t queue);

/*
 * Set the number of a queue's entries, and the addresses of its parts, half an address at a time.
 */
enum virtio_ring_part { VIRTIO_RING_DESC, VIRTIO_RING_AVAIL, VIRTIO_RING_USED };
void virtio_core_set_queue_size(struct virtio_core *core, uint32_t queue, uint32_t size);
void virtio_core_set_queue_address(struct virtio_core *core, uint32_t queue,
				   enum virtio_ring_part part, bool high, uint32_t value);

/* A queue can be stopped at any time, but not started again without a reset (§4.2.2.2). */
bool virtio_core_queue_ready(struct virtio_core *core, uint32_t queue);
void virtio_core_set_queue_ready(struct virtio_core *core, uint32_t queue, bool ready);

/*
 * Asks the worker to serve @queue. If KVM rings the doorbells itself, this is called only for
 * queues that do not exist.
 */
void virtio_core_notify(struct virtio_core *core, uint32_t queue);

/* The configuration space at any @offset and of any @len; bytes beyond it read as 0. */
uint32_t virtio_core_config_generation(struct virtio_core *core);
void virtio_core_config_read(struct virtio_core *core, uint64_t offset, void *data, size_t len);
void virtio_core_config_write(struct virtio_core *core, uint64_t offset, const void *data,
			      size_t len);

/* Serves @queue for one turn, if the device runs and the queue is ready. Thread: the device's worker. */
void virtio_core_work(struct virtio_core *core, unsigned int queue);

/*
 * After the worker has ended: waits until @deadline (clock_ns()) for requests that the host still
 * does. Returns false if some are left: then guest RAM and the device must stay as they are.
 * Thread: main.
 */
bool virtio_core_stop(struct virtio_core *core, uint64_t deadline);

/* --- snapshots --------------------------------------------------------------------------------- */

/* Returns whether the device can be saved. Any thread. */
bool virtio_core_can_save(const struct virtio_core *core);
/*
 * Waits until the worker has done the requests that it has, then keeps it out until virtio_core_thaw() on the same
 * thread. Returns false if some are left at @deadline (clock_ns()). While no vCPU runs. Any thread.
 */
bool virtio_core_freeze(struct virtio_core *core, uint64_t deadline);
/* Lets the worker in again, to look at all queues. */
void virtio_core_thaw(struct virtio_core *core);
/* Writes the state of a device that is frozen. */
void virtio_core_save(struct virtio_core *core, struct record *record);
/*
 * Reads it, once RAM is restored and before the worker starts, into a device that no driver has touched. Returns 0,
 * or -EINVAL with @why set, then the guest must not run.
 */
int virtio_core_restore(struct virtio_core *core, struct record_in *in, struct why *why);

#endif
