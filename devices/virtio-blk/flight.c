// SPDX-License-Identifier: Apache-2.0
/*
 * The requests that the host's kernel does at the same time, through an io_uring. It gets reads and
 * writes of a bounded size, and flushes; meanwhile the worker itself does the others. A flush
 * covers the requests answered before it began, which is all that a driver may expect (virtio 1.2
 * §5.2.6.2): it need not wait for those in flight.
 */
#include <errno.h>
#include <stdlib.h>

#include "devices/virtio-blk/internal.h"
#include "devices/virtio-blk/ring.h"
#include "vmm/lib/clock.h"
#include "vmm/mem/dirty_log.h"

/* The largest request: Linux makes none of more than 1280 KiB by itself. A reset waits for BLK_DEPTH of them. */
#define FLIGHT_BYTES (4U << 20)

struct blk_slot {
	struct blk_answer answer;
	uint64_t offset;    /* on the disk, of the bytes left */
	uint64_t left;	    /* bytes */
	bool flush;	    /* a flush, or a write whose data is moved and not yet durable */
	bool durable;	    /* a write that is followed by a flush */
	bool patient;	    /* the host could not do the request at once */
	unsigned int first; /* iov from there up to n is left */
	unsigned int n;
	struct iovec iov[BLK_SEGMENTS_MAX];
};

int blk_flight_init(struct blk_queue *bq)
{
	int error = ring_open(&bq->ring, BLK_DEPTH);
	if (error)
		return error;
	bq->slot = calloc(BLK_DEPTH, sizeof(*bq->slot));
	if (!bq->slot) {
		blk_flight_release(bq);
		return -ENOMEM;
	}
	for (unsigned int i = 0; i < BLK_DEPTH; i++)
		bq->free[i] = (uint8_t)(BLK_DEPTH - 1 - i);
	return 0;
}

void blk_flight_release(struct blk_queue *bq)
{
	ring_close(bq->ring);
	free(bq->slot);
	bq->ring = NULL;
	bq->slot = NULL;
}

bool blk_flight_room(const struct blk_queue *bq)
{
	return !bq->ring || bq->flying < BLK_DEPTH;
}

static void add(struct blk_queue *bq, struct blk_slot *slot)
{
	const struct ring_job job = {
		.kind = slot->flush			? RING_FLUSH
			: slot->answer.kind == BLK_READ ? RING_READ
							: RING_WRITE,
		.fd = bq->blk->image.fd,
		.iov = &slot->iov[slot->first],
		.n = slot->n - slot->first,
		.offset = slot->offset,
		.tag = (unsigned int)(slot - bq->slot),
		.patient = slot->patient,
	};
	ring_add(bq->ring, &job);
}

/* --- there ----------------------------------------------------------------------------------- */

/* Once a turn: a write might give the file its length again, and hide the loss. */
static void measure(struct blk_queue *bq)
{
	if (!bq->measured)
		image_is_shorter(&bq->blk->image);
	bq->measured = true;
}

static bool flies(const struct blk_queue *bq)
{
	const struct blk_request *request = &bq->request;

	if (!bq->ring || bq->done > 0 || request->status != VIRTIO_BLK_S_OK)
		return false;
	if (request->kind == BLK_FLUSH)
		return !bq->blk->image.lost;
	return request->kind <= BLK_WRITE && request->len > 0 && request->len <= FLIGHT_BYTES &&
	       bq->chain.buffers <= BLK_SEGMENTS_MAX;
}

bool blk_flight_start(struct blk_queue *bq)
{
	struct blk *blk = bq->blk;
	const struct blk_request *request = &bq->request;

	if (!flies(bq))
		return false;
	struct blk_slot *slot = &bq->slot[bq->free[BLK_DEPTH - 1 - bq->flying]];
	slot->answer = (struct blk_answer){
		.head = bq->chain.head,
		.kind = request->kind,
		.status_gpa = request->status_gpa,
		.writable = request->writable,
		.started = bq->started,
	};
	slot->flush = request->kind == BLK_FLUSH;
	slot->durable = request->kind == BLK_WRITE && !blk_negotiated(blk, VIRTIO_BLK_F_FLUSH);
	slot->offset = request->offset;
	slot->left = slot->flush ? 0 : request->len;
	slot->patient = false;
	slot->first = 0;
	slot->n = slot->flush ? 0
			      : blk_iov(blk->dev.host->ram, &bq->chain, &request->data,
					request->len, slot->iov);
	/* Leave it to the worker: the slot was not taken yet. */
	if (!image_fits(&blk->image, slot->iov, slot->n))
		return false;
	if (request->kind == BLK_WRITE)
		measure(bq);
	bq->flying++;
	add(bq, slot);
	return true;
}

bool blk_flight_submit(struct blk_queue *bq)
{
	return ring_submit(bq->ring) == 0;
}

/* --- and back -------------------------------------------------------------------------------- */

static void land(struct blk_queue *bq, struct blk_slot *slot)
{
	bq->flying--;
	bq->free[BLK_DEPTH - 1 - bq->flying] = (uint8_t)(slot - bq->slot);
}

static void advance(struct blk_slot *slot, uint64_t bytes)
{
	slot->answer.done += bytes;
	slot->offset += bytes;
	slot->left -= bytes;
	while (bytes > 0) {
		struct iovec *iov = &slot->iov[slot->first];
		size_t step = bytes < iov->iov_len ? bytes : iov->iov_len;
		iov->iov_base = (uint8_t *)iov->iov_base + step;
		iov->iov_len -= step;
		bytes -= step;
		if (iov->iov_len == 0)
			slot->first++;
	}
}

/* All that was asked for: also a read that failed, or is dropped, may have changed some of it. */
static void note_read(const struct blk *blk, const struct blk_slot *slot)
{
	if (slot->answer.kind == BLK_READ)
		ram_wrote_iov(blk->dev.host->ram, &slot->iov[slot->first], slot->n - slot->first,
			      slot->left);
}

/* Takes the host's answer. Returns 0 if the request is done, 1 if there is more to do, or -errno. */
static int went(struct blk *blk, struct blk_slot *slot, int result)
{
	note_read(blk, slot);
	if (result == -EINTR || (result == -EAGAIN && !slot->patient)) {
		slot->patient |= result == -EAGAIN;
		return 1;
	}
	if (slot->flush)
		return image_flushed(&blk->image, result);
	if (result < 0)
		return result;
	ssize_t moved = (uint64_t)result > slot->left ? image_ended(&blk->image)
						      : image_moved(&blk->image, (uint64_t)result);
	if (moved < 0)
		return (int)moved;
	advance(slot, (uint64_t)moved);
	blk_moved(blk, slot->answer.kind, (uint64_t)moved);
	if (slot->left > 0)
		return 1;
	if (!slot->durable)
		return 0;
	slot->flush = true;
	return blk->image.lost ? blk->image.lost : 1;
}

bool blk_flight_land(struct blk_queue *bq)
{
	unsigned int tag;
	int result;
	bool any = false, again = false;

	/*
	 * Each job comes once, so the slots bound the loop: jobs that continue are not started yet.
	 */
	while (bq->flying > 0 && ring_take(bq->ring, &tag, &result)) {
		struct blk_slot *slot = &bq->slot[tag];
		int left = went(bq->blk, slot, result);
		any = true;
		if (left > 0) {
			add(bq, slot);
			again = true;
			continue;
		}
		blk_account(bq->blk, slot->answer.kind, slot->answer.started, left);
		blk_answer(bq, &slot->answer, left ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK);
		land(bq, slot);
	}
	if (again)
		blk_flight_submit(bq);
	return any;
}

bool blk_flight_drain(struct blk_queue *bq, uint64_t deadline)
{
	unsigned int tag;
	int result;

	while (bq->flying > 0) {
		if (ring_take(bq->ring, &tag, &result)) {
			/* A failed flush also loses data that was acknowledged before. */
			if (bq->slot[tag].flush)
				image_flushed(&bq->blk->image, result);
			note_read(bq->blk, &bq->slot[tag]);
			land(bq, &bq->slot[tag]);
			continue;
		}
		if (clock_ns() >= deadline)
			return false;
		blk_flight_submit(bq);
		ring_wait(bq->ring);
	}
	return true;
}
