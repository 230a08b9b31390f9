/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the block device. */
#ifndef EBB_VIRTIO_BLK_INTERNAL_H
#define EBB_VIRTIO_BLK_INTERNAL_H

#include "devices/virtio-blk/blk.h"

/* Bytes that a turn moves, about: they take a millisecond if the page cache has them. */
#define TURN_BYTES (1U << 20)
/* What each request counts in addition to its bytes, so that a turn ends without any bytes, too. */
#define REQUEST_COST (TURN_BYTES / 64)

static inline bool blk_negotiated(const struct blk *blk, unsigned int bit)
{
	return (blk->dev.features >> bit) & 1;
}

/* --- requests.c ------------------------------------------------------------------------------ */

/* virtio_device_ops.work; and drops the request in progress, for a reset. */
int blk_work(struct virtio_device *dev, unsigned int queue);
void blk_work_reset(struct blk_queue *bq);

/* What is to be known of a request to answer it. */
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
/* Counts a request that was carried out, and says once if it @failed: 0 or -errno. */
void blk_account(struct blk *blk, enum blk_kind kind, uint64_t started, ssize_t failed);
/*
 * Gives the chain back. The used length counts what was written from the first writable byte on, and the
 * status, which comes last, only if everything before it was written.
 */
void blk_answer(struct blk_queue *bq, const struct blk_answer *answer, uint8_t status);

/* --- flight.c -------------------------------------------------------------------------------- */

/* Has the queue use an io_uring. Returns 0, or -errno if it has to do without. */
int blk_flight_init(struct blk_queue *bq);
/* No request may fly. */
void blk_flight_release(struct blk_queue *bq);

/* Returns whether there is room for another request. */
bool blk_flight_room(const struct blk_queue *bq);
/* Has the host do bq->request. Returns false if that is not for it: then the worker does it. */
bool blk_flight_start(struct blk_queue *bq);
/* Starts what was added. Returns whether the host has taken it all. */
bool blk_flight_submit(struct blk_queue *bq);
/* Answers what the host has done. Returns whether there was something. */
bool blk_flight_land(struct blk_queue *bq);
/* Waits until @deadline (clock_ns()) for all that fly, and forgets them. Returns whether none is left. */
bool blk_flight_drain(struct blk_queue *bq, uint64_t deadline);

#endif
