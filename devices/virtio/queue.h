/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device's side of a split virtqueue (virtio 1.2 §2.7).
 *
 * Nothing in a ring is trusted: the driver's data is copied once, then checked, and every walk has
 * a bound. The device's place in the rings is kept here and never read back from the guest, so that
 * a guest that overwrites its rings, or reports them as free, harms only itself.
 *
 * Thread: any, one at a time: the core's device lock guards all of it (core.h).
 */
#ifndef EBB_VIRTIO_QUEUE_H
#define EBB_VIRTIO_QUEUE_H

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmm/lib/record.h"
#include "vmm/mem/ram.h"

#define VIRTIO_QUEUES_MAX 9
/* Also the longest chain, with or without an indirect table. tests/prove sets a smaller one. */
#ifndef VIRTIO_QUEUE_SIZE_MAX
#define VIRTIO_QUEUE_SIZE_MAX 256
#endif

struct virtq {
	uint16_t size_max; /* set by the device at init; 0: there is no such queue */

	/* As the driver wrote them; nothing is checked before virtq_start(). */
	uint32_t size;
	uint64_t desc_gpa;
	uint64_t avail_gpa;
	uint64_t used_gpa;

	bool ready; /* the rest is valid only if this is set */
	bool lent;  /* the host's kernel serves the rings: nothing here looks at them */
	bool indirect;
	bool event_idx;
	const struct ram *ram;
	const struct vring_desc *desc;
	const struct vring_avail *avail;
	struct vring_used *used;
	uint16_t
		next_avail; /* the next chain to take; wraps at 16 bits, as the ring's indices do */
	uint16_t next_used; /* the next used element to write */
	uint16_t signalled; /* next_used when an interrupt was last considered */
	uint16_t seen;	    /* the driver's index when the device last looked for chains */
};

/* A bounded copy of one descriptor chain. */
struct virtq_chain {
	uint16_t head;
	unsigned int buffers;
	unsigned int
		readable; /* the first of them are device-readable, the others device-writable */
	/* As the driver wrote them: each may be RAM or not, and may wrap. 2^32 bytes at most. */
	struct gpa_range buffer[VIRTIO_QUEUE_SIZE_MAX];
};

/* A position in the device-readable part of a chain; all zeros is its start. */
struct virtq_cursor {
	unsigned int buffer;
	uint32_t offset; /* bytes into it */
};

/*
 * Copies the next @len bytes of the device-readable part, as one stream: how the driver cut it into
 * buffers has no meaning (§2.7.4). Returns how many there were, fewer than @len only at the end, or
 * -EFAULT if a buffer is not RAM.
 */
ssize_t virtq_read(const struct ram *ram, const struct virtq_chain *chain,
		   struct virtq_cursor *cursor, void *data, size_t len);

/*
 * Copies @len bytes to the start of the device-writable part, likewise one stream. Returns how many
 * found room, or -EFAULT if a buffer is not RAM.
 */
ssize_t virtq_write(const struct ram *ram, const struct virtq_chain *chain, const void *data,
		    size_t len);

/* Negotiated features that change how rings are used. */
#define VIRTQ_INDIRECT	(1U << 0) /* VIRTIO_F_INDIRECT_DESC */
#define VIRTQ_EVENT_IDX (1U << 1) /* VIRTIO_F_EVENT_IDX */

/*
 * Starts the queue with the rings that the driver has set. @flags: VIRTQ_*. Returns 0, or -EINVAL if size,
 * alignment or place of a ring is wrong.
 */
int virtq_start(struct virtq *q, const struct ram *ram, unsigned int flags);

/*
 * Takes back lent rings. @next: the index at which the other server would have taken the next chain; it
 * has returned all before.
 */
void virtq_take_back(struct virtq *q, uint16_t next);

/* Stops using the rings. The driver's settings stay. */
void virtq_stop(struct virtq *q);

/* Stops the queue and forgets all but size_max. */
void virtq_reset(struct virtq *q);

/*
 * Write the driver's settings and the device's place in the rings, and read them: a queue that was ready is started
 * with @flags as by virtq_start(). Reading returns 0, or -EINVAL if no driver and device can have come there.
 */
void virtq_save(const struct virtq *q, struct record *record);
int virtq_restore(struct virtq *q, const struct ram *ram, unsigned int flags, struct record_in *in);

/* The functions below need a queue that is ready. */

/* Takes the next chain. Returns 1 with @chain filled in, 0 if there is none, or -EPROTO if it is malformed. */
int virtq_pop(struct virtq *q, struct virtq_chain *chain);

/*
 * Copies the chain that begins at @head, which the driver made available before, and the device
 * still has. Returns 0, or -EPROTO if it is malformed.
 */
int virtq_chain_at(const struct virtq *q, uint16_t head, struct virtq_chain *chain);

/* Return a chain to the driver, whole or by its head. @len: bytes written to its writable part. */
void virtq_push(struct virtq *q, const struct virtq_chain *chain, uint32_t len);
void virtq_push_head(struct virtq *q, uint16_t head, uint32_t len);

/* A chain to return, by virtq_chain.head. */
struct virtq_done {
	uint16_t head;
	uint32_t len; /* as for virtq_push() */
};

/*
 * Returns @n chains, at most the queue's size, to the driver at once: it sees all of them or none.
 */
void virtq_push_all(struct virtq *q, const struct virtq_done *done, unsigned int n);

/*
 * Undoes the last @n calls of virtq_pop() that returned 1, if none was given back: the chains wait
 * again.
 */
void virtq_unpop(struct virtq *q, unsigned int n);

/* Returns whether there is no chain to pop. */
bool virtq_empty(const struct virtq *q);

/* Returns whether the driver has added no chain since its index was @seen. */
bool virtq_saw_all(const struct virtq *q, uint16_t seen);

/* Returns whether the driver wants an interrupt for the chains pushed since the last call. */
bool virtq_should_interrupt(struct virtq *q);

/*
 * Asks the driver to notify the device of chains that it adds from now on. Returns whether it has added some,
 * perhaps without a notification, since the device last looked: then the queue has to be served again. With
 * VIRTIO_F_EVENT_IDX the driver notifies the device once after each call, and without it always.
 */
bool virtq_rearm(struct virtq *q);

#endif
