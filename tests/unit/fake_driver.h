/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's side of a virtio device, for tests: some RAM, a host that counts, and a driver that
 * talks to the registers and the rings. It does as it is told, right or wrong.
 *
 * RAM is [0, 128 MiB) and [256 MiB, 288 MiB). The rings of queue n lie in the 64 KiB from
 * RINGS_GPA + n * RINGS_SIZE; BLOCKS_GPA and what follows in the first region is free for buffers.
 */
#ifndef EBB_TEST_FAKE_DRIVER_H
#define EBB_TEST_FAKE_DRIVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/virtio/device.h"
#include "devices/virtio/mmio.h"
#include "vmm/mem/ram.h"

#define KIB	   (1ULL << 10)
#define MIB	   (1ULL << 20)
#define RINGS_GPA  (64 * KIB)
#define RINGS_SIZE (64 * KIB)
#define BLOCKS_GPA (2 * MIB)
#define LOW_END	   (128 * MIB)
#define HIGH_GPA   (256 * MIB)
#define HIGH_END   (288 * MIB)
#define BLOCK	   (2 * MIB) /* what Linux reports on x86 */

struct fake_queue {
	unsigned int size;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t next_desc;
	uint16_t used_seen;
};

struct fake_driver {
	struct ram ram;
	struct virtio_host host;
	struct virtio_mmio mmio;
	atomic_uint interrupts;
	atomic_int interrupted_by;	 /* the source of the last of them */
	atomic_uint deferred;		 /* bit n: queue n */
	int doorbell[VIRTIO_QUEUES_MAX]; /* eventfds, or -1: nobody has asked for it */
	int call;			 /* an eventfd, or -1: nobody has asked for it */
	unsigned int muted;	 /* bit n: the worker does not hear the doorbell of queue n */
	uint64_t deferred_until; /* ns; by a paced device */
	unsigned int discards;
	struct fake_queue queue[VIRTIO_QUEUES_MAX];
};

/* RAM and a host; then a device is made with &driver->host, and plugged in. */
void fake_driver_init(struct fake_driver *driver);
/* With RAM that another process can map. */
void fake_driver_init_shared(struct fake_driver *driver);
void fake_driver_plug(struct fake_driver *driver, struct virtio_device *dev);
void fake_driver_release(struct fake_driver *driver);

/* Guest memory that must be there. */
void *fake_driver_at(struct fake_driver *driver, uint64_t gpa, uint64_t len);

uint32_t fake_driver_get(struct fake_driver *driver, uint64_t offset);
void fake_driver_set(struct fake_driver *driver, uint64_t offset, uint32_t value);
/* Saves the device, which goes on, to @data, and asserts that it has room. Returns the length. */
size_t fake_driver_save(struct fake_driver *driver, uint8_t *data, size_t size);

/* The steps of virtio 1.2 §3.1.1; negotiate returns the status that the device shows then. */
uint32_t fake_driver_negotiate(struct fake_driver *driver, uint64_t features);
void fake_driver_addresses(struct fake_driver *driver, unsigned int queue, unsigned int size);
void fake_driver_queue(struct fake_driver *driver, unsigned int queue, unsigned int size);
void fake_driver_ok(struct fake_driver *driver);
/* All of them, for queues 0 to @queues - 1. */
void fake_driver_start(struct fake_driver *driver, uint64_t features, unsigned int queues,
		       unsigned int size);

/* Clears a queue's memory and the driver's place in it, as before its set-up. */
void fake_queue_init(struct fake_driver *driver, unsigned int queue, unsigned int size);
void fake_queue_desc(struct fake_queue *queue, unsigned int index, uint64_t gpa, uint32_t len,
		     uint16_t flags, uint16_t next);
void fake_queue_publish(struct fake_queue *queue, uint16_t head);
/* One chain, of which @readable buffers are for reading. Returns its head. */
uint16_t fake_queue_add(struct fake_queue *queue, const struct gpa_range *buffer, unsigned int n,
			unsigned int readable);
/* Takes a used element, if there is one. */
bool fake_queue_used(struct fake_queue *queue, struct vring_used_elem *element);

/* Has the worker do what was deferred: one turn of each queue, returning whether there was any; and
 * until there is no more. */
bool fake_driver_turn(struct fake_driver *driver);
void fake_driver_work(struct fake_driver *driver);
/* Has the worker serve each queue once, though nothing was deferred. */
void fake_driver_spurious(struct fake_driver *driver);
/* Rings the doorbell, and has the worker do what it asks for. */
void fake_driver_kick(struct fake_driver *driver, unsigned int queue);

#endif
