// SPDX-License-Identifier: Apache-2.0
/*
 * Serves requests one after the other, each in pieces: a turn ends after a number of bytes, and the request
 * in progress continues in the next turn, so that a thread that waits for the device waits for one piece.
 */
#include <errno.h>
#include <string.h>

#include "devices/virtio-blk/internal.h"
#include "devices/virtio-blk/ring.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"
#include "vmm/mem/dirty_log.h"

void blk_work_reset(struct blk_queue *bq)
{
	bq->busy = false;
}

/* --- one piece ------------------------------------------------------------------------------- */

/*
 * Each does a piece of blk->request. Returns the bytes of progress, 0 if there is nothing more to do, or
 * -errno if the host failed.
 */

static ssize_t step_data(struct blk_queue *bq)
{
	struct blk *blk = bq->blk;
	struct blk_request *request = &bq->request;
	uint64_t left = request->len - bq->done;
	struct iovec iov[VIRTIO_QUEUE_SIZE_MAX];

	if (left == 0)
		return 0;
	unsigned int n = blk_iov(blk->dev.host->ram, &bq->chain, &request->data,
				 left < TURN_BYTES ? left : TURN_BYTES, iov);
	ssize_t moved;
	/* Without FLUSH a driver relies on acknowledged writes (§5.2.6.2). */
	if (request->kind == BLK_WRITE)
		moved = image_write(&blk->image, iov, n, request->offset + bq->done,
				    !blk_negotiated(blk, VIRTIO_BLK_F_FLUSH));
	else
		moved = image_read(&blk->image, iov, n, request->offset + bq->done);
	/* Also one that failed may have changed some of it. */
	if (request->kind == BLK_READ)
		ram_wrote_iov(blk->dev.host->ram, iov, n, UINT64_MAX);
	if (moved > 0)
		blk_advance(&bq->chain, &request->data, moved);
	return moved;
}

static ssize_t step_id(struct blk_queue *bq)
{
	const struct blk *blk = bq->blk;
	struct iovec iov[VIRTIO_QUEUE_SIZE_MAX];
	unsigned int n = blk_iov(blk->dev.host->ram, &bq->chain, &bq->request.data,
				 bq->request.len - bq->done, iov);
	ssize_t moved = 0;

	for (unsigned int i = 0; i < n; i++) {
		memcpy(iov[i].iov_base, blk->id + bq->done + moved, iov[i].iov_len);
		moved += iov[i].iov_len;
	}
	ram_wrote_iov(blk->dev.host->ram, iov, n, (uint64_t)moved);
	return moved;
}

static ssize_t discard(struct blk *blk, uint64_t offset, uint64_t len)
{
	int error = image_discard(&blk->image, offset, len);
	/* A discard is only advice (§5.2.6.2); this one is counted. */
	if (error == -EOPNOTSUPP) {
		atomic_fetch_add(&blk->ignored, len);
		return (ssize_t)len;
	}
	return error ? error : (ssize_t)len;
}

static ssize_t step_range(struct blk_queue *bq)
{
	struct blk *blk = bq->blk;
	const struct blk_request *request = &bq->request;

	while (bq->range < request->ranges && bq->done == request->range[bq->range].len) {
		bq->range++;
		bq->done = 0;
	}
	if (bq->range == request->ranges)
		/* Durable if the driver will not flush. */
		return request->kind == BLK_ZERO && !blk_negotiated(blk, VIRTIO_BLK_F_FLUSH)
			       ? image_flush(&blk->image)
			       : 0;
	const struct blk_range *range = &request->range[bq->range];
	uint64_t offset = range->offset + bq->done;
	uint64_t left = range->len - bq->done;
	return request->kind == BLK_ZERO ? image_zero(&blk->image, offset, left, range->unmap)
					 : discard(blk, offset, left);
}

static ssize_t step(struct blk_queue *bq)
{
	if (bq->request.status != VIRTIO_BLK_S_OK)
		return 0;
	switch (bq->request.kind) {
	case BLK_READ:
	case BLK_WRITE:
		return step_data(bq);
	case BLK_ID:
		return step_id(bq);
	case BLK_FLUSH:
		return image_flush(&bq->blk->image);
	default:
		return step_range(bq);
	}
}

/* --- one request ----------------------------------------------------------------------------- */

/* Worse than a failed request: the lost data was acknowledged before. */
static void say_loss(struct blk *blk)
{
	int lost = blk->image.lost;
	if (atomic_exchange(&blk->loss_logged, true))
		return;
	log_warn("the host may have lost what the guest wrote to the disk '%s': %s; from now on "
		 "every flush fails: repair the host's storage, check the disk's file systems, and "
		 "restart the guest",
		 blk->file, lost == IMAGE_SHORTER ? "its file became shorter" : strerror(-lost));
}

/*
 * EFAULT comes from guest RAM: the host could not fill a page, as with an empty pool of huge pages.
 */
static const char *reason_of(int error)
{
	return error == EFAULT ? "it has no memory left for the guest's pages" : strerror(error);
}

static void say_failure(struct blk *blk, ssize_t error)
{
	if (blk->image.lost) {
		say_loss(blk);
		return;
	}
	if (atomic_exchange(&blk->failure_logged, true))
		return;
	log_warn("the host cannot serve the disk '%s': %s; the guest gets an I/O error (said "
		 "once; see the count of failures)",
		 blk->file, reason_of((int)-error));
}

void blk_moved(struct blk *blk, enum blk_kind kind, uint64_t bytes)
{
	if (kind < BLK_COUNTED)
		atomic_fetch_add(&blk->counters[kind].bytes, bytes);
}

void blk_account(struct blk *blk, enum blk_kind kind, uint64_t started, ssize_t failed)
{
	if (failed)
		say_failure(blk, failed);
	if (kind >= BLK_COUNTED)
		return;
	struct blk_counters *counters = &blk->counters[kind];
	atomic_fetch_add(&counters->ns, clock_ns() - started);
	atomic_fetch_add(failed ? &counters->failed : &counters->operations, 1);
}

void blk_answer(struct blk_queue *bq, const struct blk_answer *answer, uint8_t status)
{
	bool written = answer->kind == BLK_READ || answer->kind == BLK_ID;
	uint64_t len = written ? answer->done : 0;

	ram_write(bq->blk->dev.host->ram, answer->status_gpa, &status, 1);
	virtq_push_head(bq->virtq, answer->head,
			(uint32_t)(len == answer->writable ? len + 1 : len));
}

static void begin(struct blk_queue *bq)
{
	struct blk *blk = bq->blk;
	const struct blk_request *request = &bq->request;

	bq->busy = true;
	bq->done = 0;
	bq->range = 0;
	bq->started = clock_ns();
	if (request->kind == BLK_UNKNOWN)
		atomic_fetch_add(&blk->unknown, 1);
	else if (request->kind < BLK_COUNTED && request->status != VIRTIO_BLK_S_OK)
		atomic_fetch_add(&blk->counters[request->kind].refused, 1);
}

static void finish(struct blk_queue *bq)
{
	const struct blk_request *request = &bq->request;
	const struct blk_answer answer = {
		.head = bq->chain.head,
		.kind = request->kind,
		.status_gpa = request->status_gpa,
		.writable = request->writable,
		.done = bq->done,
	};
	blk_answer(bq, &answer, request->status);
	bq->busy = false;
}

/* Does one piece of the request in progress. Returns its share of TURN_BYTES. */
static uint64_t go_on(struct blk_queue *bq)
{
	struct blk_request *request = &bq->request;
	bool carried_out = request->status == VIRTIO_BLK_S_OK;
	ssize_t moved = step(bq);

	if (moved > 0) {
		bq->done += moved;
		blk_moved(bq->blk, request->kind, moved);
		bool data = request->kind <= BLK_WRITE || request->kind == BLK_ID;
		if (!data || bq->done < request->len)
			return data ? REQUEST_COST + moved : TURN_BYTES;
	}
	if (carried_out)
		blk_account(bq->blk, request->kind, bq->started, moved < 0 ? moved : 0);
	if (moved < 0)
		request->status = VIRTIO_BLK_S_IOERR;
	finish(bq);
	/* The host's disk had to work, for an unknown time. */
	return request->kind == BLK_FLUSH ? TURN_BYTES : REQUEST_COST + (moved > 0 ? moved : 0);
}

/* --- a turn ---------------------------------------------------------------------------------- */

/* Begins the next request. Returns 1, 0 if there is none to begin, or -EPROTO. */
static int next(struct blk_queue *bq)
{
	struct blk *blk = bq->blk;
	const struct blk_limits limits = {
		.size = blk->image.size,
		.read_only = blk->image.read_only,
		.discard = blk_negotiated(blk, VIRTIO_BLK_F_DISCARD),
		.zero = blk_negotiated(blk, VIRTIO_BLK_F_WRITE_ZEROES),
	};

	if (!blk_flight_room(bq))
		return 0;
	int popped = virtq_pop(bq->virtq, &bq->chain);
	if (popped <= 0)
		return popped;
	if (blk_request_parse(blk->dev.host->ram, &bq->chain, &limits, &bq->request))
		return -EPROTO;
	begin(bq);
	return 1;
}

/* Returns as work() does; also 0 if the host has the most requests that it may have. */
static int serve(struct blk_queue *bq)
{
	uint64_t cost = 0;

	while (cost < TURN_BYTES) {
		int begun = bq->busy ? 1 : next(bq);
		if (begun <= 0)
			return begun;
		if (blk_flight_start(bq)) {
			bq->busy = false;
			cost += REQUEST_COST;
		} else {
			cost += go_on(bq);
		}
	}
	return -EAGAIN;
}

int blk_work(struct virtio_device *dev, unsigned int queue)
{
	struct blk_queue *bq = &blk_of(dev)->queue[queue];

	if (!bq->ring)
		return serve(bq);
	/* Requests that end meanwhile are found at the end of the turn, without the bell. */
	ring_quiet(bq->ring, true);
	bq->measured = false;
	blk_flight_land(bq);
	int result = serve(bq);
	blk_flight_submit(bq);
	bool full = !blk_flight_room(bq);
	blk_flight_land(bq);
	ring_quiet(bq->ring, false);
	blk_flight_land(bq);
	/*
	 * Nothing rings for jobs that the host has not taken, those of the last look included; and with
	 * room again, there may be chains that were not looked at.
	 */
	if (result == 0 && (!blk_flight_submit(bq) || (full && blk_flight_room(bq))))
		result = -EAGAIN;
	return result;
}
