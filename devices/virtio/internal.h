/* SPDX-License-Identifier: Apache-2.0 */
/* What core.c and save.c share of a device's state. */
#ifndef EBB_VIRTIO_INTERNAL_H
#define EBB_VIRTIO_INTERNAL_H

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "devices/virtio/core.h"

#define FEATURE(bit) (1ULL << (bit))

#define STATUS_DRIVER_BITS                                                                         \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_DRIVER_OK |        \
	 VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_FAILED)

/* --- locks, in the order of core.h ----------------------------------------------------------- */

static inline void device_lock(struct virtio_core *core)
{
	pthread_mutex_lock(&core->next);
	pthread_mutex_lock(&core->device);
	pthread_mutex_unlock(&core->next);
}

static inline void device_unlock(struct virtio_core *core)
{
	pthread_mutex_unlock(&core->device);
}

static inline void state_lock(struct virtio_core *core)
{
	pthread_mutex_lock(&core->state);
}

static inline void state_unlock(struct virtio_core *core)
{
	pthread_mutex_unlock(&core->state);
}

/* As device_lock(), but gives up at @deadline (clock_ns()). */
bool virtio_core_lock_until(struct virtio_core *core, uint64_t deadline);

/* --- the state ------------------------------------------------------------------------------- */

/* Returns whether the device may use its queues. */
static inline bool running(const struct virtio_core *core)
{
	const uint32_t stopped = VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED;
	return (core->status & VIRTIO_CONFIG_S_DRIVER_OK) && !(core->status & stopped);
}

/* Asks the worker to serve @queue. */
static inline void defer(const struct virtio_core *core, unsigned int queue)
{
	core->dev->host->defer(core->dev->host->ctx, queue);
}

/* The flags of virtq_start() that the driver's features ask for. */
static inline unsigned int queue_flags(const struct virtio_device *dev)
{
	uint64_t features = dev->features;
	return (features & FEATURE(VIRTIO_RING_F_INDIRECT_DESC) ? VIRTQ_INDIRECT : 0) |
	       (features & FEATURE(VIRTIO_RING_F_EVENT_IDX) ? VIRTQ_EVENT_IDX : 0);
}

/*
 * Waits until @deadline for the requests of all queues in flight outside the device, as drain() in core.c.
 * Returns whether none is left.
 */
bool virtio_core_drain_all(struct virtio_core *core, uint64_t deadline);

#endif
