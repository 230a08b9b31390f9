/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio device, and the functions of its host. A device knows nothing else of the VMM around it,
 * so that it runs in a unit test with mapped memory and a fake driver.
 * Source: virtio 1.2, §2 (facilities).
 */
#ifndef EBB_VIRTIO_DEVICE_H
#define EBB_VIRTIO_DEVICE_H

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/virtio/queue.h"
#include "vmm/mem/discard.h"
#include "vmm/lib/record.h"
#include "vmm/mem/ram.h"

struct virtio_device;
struct virtio_core;

/* The source of an interrupt is a queue, by its number, or this: the configuration space. */
#define VIRTIO_INTERRUPT_CONFIG (-1)

/* Features that the core serves for every device: virtio 1.2 §6, and event indices (§2.7.7, §2.7.10). */
#define VIRTIO_FEATURES ((1ULL << VIRTIO_F_VERSION_1) | (1ULL << VIRTIO_RING_F_EVENT_IDX))

/*
 * The host's side. Owner: the creator of the device; outlives it. The functions are called on any thread
 * with the core's locks held: they must not call the core.
 */
struct virtio_host {
	void *ctx;
	/*
	 * A backend in another process maps this memory itself: ram_shares() has the file
	 * descriptors.
	 */
	const struct ram *ram;
	/*
	 * Raises an interrupt (an edge) for @source: a queue or VIRTIO_INTERRUPT_CONFIG. A host with
	 * one line for the whole device raises that. Only the core calls this, not the device.
	 */
	void (*interrupt)(void *ctx, int source);
	/* Makes the device's worker call virtio_core_work() for @queue soon. */
	void (*defer)(void *ctx, unsigned int queue);
	/*
	 * Return the eventfd that the driver rings for @queue, and one that raises an interrupt for
	 * it: for the host's kernel or another process, to which the queue is lent. They exist from
	 * activate() on, and the host owns them.
	 */
	int (*doorbell)(void *ctx, unsigned int queue);
	int (*call)(void *ctx, unsigned int queue);
	/*
	 * While @queue is @lent, its doorbell does not wake the device's worker. Otherwise it does,
	 * at once if it has rung meanwhile.
	 */
	void (*lend)(void *ctx, unsigned int queue, bool lent);
	/*
	 * As defer(), but at @ns of clock_ns(); the last call for a queue counts. Only for
	 * devices whose ops have @paced set.
	 */
	void (*defer_until)(void *ctx, unsigned int queue, uint64_t ns);
	/* As ram_discard(). A hook, so that a test can make it fail. */
	size_t (*discard)(void *ctx, const struct gpa_range *range, size_t n,
			  struct discard_step *step, struct discard_result *result);
};

/*
 * The device's side: a constant table for each kind of device. The core calls the first four functions
 * with the device's lock held, so that only one runs at a time, on the device's worker; activate() also
 * on main, when it is restored; drain() also on main, when the machine stops, and on the snapshot's thread.
 */
struct virtio_device_ops {
	uint32_t id; /* virtio 1.2 §5: 5 is the balloon */
	const char *name;
	bool paced; /* the device calls host->defer_until() */
	/*
	 * Starts the device: the driver has set DRIVER_OK, and dev->features are the negotiated
	 * ones. Returns 0, or -errno if the device cannot start (the core sets DEVICE_NEEDS_RESET,
	 * and calls work() only after a reset and another start). NULL: nothing to do.
	 */
	int (*activate)(struct virtio_device *dev);
	/*
	 * Waits until nothing outside the device, such as the host's kernel, still works on chains
	 * of @queue, and forgets these chains: from then on guest RAM is not accessed. Returns
	 * false if work is left at @deadline (clock_ns()). Called before a reset, before a queue is
	 * stopped, for queues that are lent when the device stops, and at the end, with the device's
	 * lock held. NULL: work() does everything itself.
	 */
	bool (*drain)(struct virtio_device *dev, unsigned int queue, uint64_t deadline);
	/*
	 * Forgets all settings of the driver, except those that the device documents as kept;
	 * settings of the host stay. Called also if activate() failed or was not called. The core
	 * resets the queues. NULL: nothing to forget.
	 */
	void (*reset)(struct virtio_device *dev);
	/*
	 * Serves a ready queue that may have new chains: at most @queue's size of them, fewer if each
	 * takes long, since a reset waits for it. The core then interrupts the driver, if the driver
	 * wants an interrupt for the chains pushed. Returns 0; -EAGAIN if there may be more (it is
	 * called again); -EPROTO if the driver broke the rules (the core sets DEVICE_NEEDS_RESET).
	 */
	int (*work)(struct virtio_device *dev, unsigned int queue);
	/*
	 * The configuration space, little-endian, of config_size bytes; the functions get @len bytes
	 * from @offset on, all of them within it. The core calls them on a vCPU's thread with no lock
	 * held, so that no vCPU waits for a chain in flight: they run at the same time as all other
	 * functions and as each other. The device guards its data with a lock that it holds only
	 * briefly. config_write may be NULL if the driver has nothing to set.
	 */
	size_t config_size;
	void (*config_read)(struct virtio_device *dev, size_t offset, void *data, size_t len);
	void (*config_write)(struct virtio_device *dev, size_t offset, const void *data,
			     size_t len);
	/*
	 * Returns whether the device holds no chains but those that save() writes; otherwise the worker
	 * goes on, and it is called again. With the device's lock held, on any thread, while no vCPU
	 * runs. NULL: it never holds a chain after a turn.
	 */
	bool (*settled)(struct virtio_device *dev);
	/*
	 * The device's own state in a snapshot, beside what the core saves. Called as settled(), after
	 * that returned true.
	 * restore() is called on the main thread before the worker starts, after activate() if the
	 * driver had set DRIVER_OK; it returns 0, -EINVAL if the state is not one of this device's, or
	 * -ESTALE if it has read of the device what other options would change. NULL: the device
	 * cannot be saved.
	 */
	void (*save)(struct virtio_device *dev, struct record *record);
	int (*restore)(struct virtio_device *dev, struct record_in *in);
};

/* What all devices share. Embedded in the device's own struct. */
struct virtio_device {
	const struct virtio_device_ops *ops;
	const struct virtio_host *host;
	uint64_t features_offered; /* fixed at init; VIRTIO_F_VERSION_1 among them */
	_Atomic uint64_t features; /* negotiated; 0 before FEATURES_OK */
	const char *save_advice; /* what helps, if only others of its kind can be saved; or NULL */
	unsigned int queues;
	struct virtq queue[VIRTIO_QUEUES_MAX];
	atomic_uint lent; /* bit n: queue n is */

	/*
	 * ConfigGeneration (§2.5). A device that changes its configuration space adds one before it
	 * releases the lock that guards it: a reader of the new contents sees the new number.
	 */
	atomic_uint config_generation;
	struct virtio_core *core; /* while the device is plugged in, else NULL */
};

/*
 * Lends a ready queue to the host's kernel or another process, and takes it back as virtq_take_back()
 * does: its doorbell and its interrupts go with it. From within work() or drain().
 */
void virtio_queue_lend(struct virtio_device *dev, unsigned int queue);
void virtio_queue_take_back(struct virtio_device *dev, unsigned int queue, uint16_t next);
/*
 * A server of lent queues says that a ring is broken: takes back all queues, and sets
 * DEVICE_NEEDS_RESET; no effect if no queue is lent. Thread: the device's worker, with none of the
 * device's locks held.
 */
void virtio_queues_broken(struct virtio_device *dev);

/*
 * For restore(): returns whether the device has as many @chains of @queue as its place in the rings says, or is stopped
 * until the driver resets it.
 */
bool virtio_queues_hold(const struct virtio_device *dev, unsigned int queue, unsigned int chains);

/*
 * Tells the driver, if there is one, that the device changed its configuration space. Any thread; waits
 * for no chain. None of the device's own locks may be held.
 */
void virtio_config_changed(struct virtio_device *dev);

#endif
