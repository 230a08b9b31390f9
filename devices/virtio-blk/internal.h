/* SPDX-License-Identifier: Apache-2.0 */
/* Functions shared between the files of the block device. */
#ifndef EBB_VIRTIO_BLK_INTERNAL_H
#define EBB_VIRTIO_BLK_INTERNAL_H

#include "devices/virtio-blk/blk.h"

/* Bytes that a turn moves, roughly: they take a millisecond if the page cache has them. */
#define TURN_BYTES (1U << 20)
/* The cost of a request in addition to its bytes, so that a turn of empty requests ends, too. */
#define REQUEST_COST (TURN_BYTES / 64)

static inline bool blk_negotiated(const struct blk *blk, unsigned int bit)
{
	return (blk->dev.features >> bit) & 1;
}

/* --- requests.c ------------------------------------------------------------------------------ */

/* virtio_device_ops.work; blk_work_reset() drops the request in progress, for a reset. */
int blk_work(struct virtio_device *dev, unsigned int queue);
void blk_work_reset(struct blk_queue *bq);

/* The facts of a request that its answer needs. */
struct blk_answer {
	uint16_t head;
	enum blk_kind kind;
	uint64_t status_gpa;
	uint64_t writable; /* bytes that the device may write before the status */
	uint64_t done;	   /* bytes moved */
	uint64_t started;  /* ns */
};

/* Counts bytes of progress. */
void blk_moved(struct blk *blk, enum blk_kind kind, uint64_t bytes);
/* Counts a request that was carried out. @failed: 0, or -errno, which is logged once. */
void blk_account(struct blk *blk, enum blk_kind kind, uint64_t started, ssize_t failed);
/*
 * Returns the chain to the driver. The used length counts the bytes written from the first writable
 * one on, and the status, which comes last, only if everything before it was written.
 */
void blk_answer(struct blk_queue *bq, const struct blk_answer *answer, uint8_t status);

/* --- flight.c -------------------------------------------------------------------------------- */

/* Sets up an io_uring for the queue. Returns 0, or -errno if the host has none for it. */
int blk_flight_init(struct blk_queue *bq);
/* No request may be in flight. */
void blk_flight_release(struct blk_queue *bq);

/* Returns whether there is room for another request. */
bool blk_flight_room(const struct blk_queue *bq);
/* Gives bq->request to the host. Returns false if the worker has to do it. */
bool blk_flight_start(struct blk_queue *bq);
/* Starts the requests that were added. Returns whether the host has taken all of them. */
bool blk_flight_submit(struct blk_queue *bq);
/* Answers requests that the host has done. Returns whether there were any. */
bool blk_flight_land(struct blk_queue *bq);
/*
 * Waits until @deadline (clock_ns()) for requests in flight, and drops them. Returns whether none
 * is left.
 */
bool blk_flight_drain(struct blk_queue *bq, uint64_t deadline);

#endif
