// SPDX-License-Identifier: Apache-2.0
/*
 * Serves requests one after the other, each in pieces: a turn ends after a number of bytes, and the request
 * in progress continues in the next turn, so that a thread that waits for the device waits for one piece.
 */
#include <errno.h>
#include <string.h>

#include "devices/virtio-blk/blk.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"

/* Bytes that a turn moves, about: they take a millisecond if the page cache has them. */
#define TURN_BYTES (1U << 20)
/* What each request counts in addition to its bytes, so that a turn ends without any bytes, too. */
#define REQUEST_COST (TURN_BYTES / 64)

void blk_work_reset(struct blk *blk)
{
	blk->busy = false;
}

static bool negotiated(const struct blk *blk, unsigned int bit)
{
	return (blk->dev.features >> bit) & 1;
}

/* --- one piece ------------------------------------------------------------------------------- */

/*
 * Each does a piece of blk->request. Returns the bytes of progress, 0 if there is nothing more to do, or
 * -errno if the host failed.
 */

static ssize_t step_data(struct blk *blk)
{
	struct blk_request *request = &blk->request;
	uint64_t left = request->len - blk->done;
	struct iovec iov[VIRTIO_QUEUE_SIZE_MAX];

	if (left == 0)
		return 0;
	unsigned int n = blk_iov(blk->dev.host->ram, &blk->chain, &request->data,
				 left < TURN_BYTES ? left : TURN_BYTES, iov);
	ssize_t moved;
	/* Without FLUSH a driver relies on what was acknowledged (§5.2.6.2). */
	if (request->kind == BLK_WRITE)
		moved = image_write(&blk->image, iov, n, request->offset + blk->done,
				    !negotiated(blk, VIRTIO_BLK_F_FLUSH));
	else
		moved = image_read(&blk->image, iov, n, request->offset + blk->done);
	if (moved > 0)
		blk_advance(&blk->chain, &request->data, moved);
	return moved;
}

static ssize_t step_id(struct blk *blk)
{
	struct iovec iov[VIRTIO_QUEUE_SIZE_MAX];
	unsigned int n = blk_iov(blk->dev.host->ram, &blk->chain, &blk->request.data,
				 blk->request.len - blk->done, iov);
	ssize_t moved = 0;

	for (unsigned int i = 0; i < n; i++) {
		memcpy(iov[i].iov_base, blk->id + blk->done + moved, iov[i].iov_len);
		moved += iov[i].iov_len;
	}
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

static ssize_t step_range(struct blk *blk)
{
	const struct blk_request *request = &blk->request;

	while (blk->range < request->ranges && blk->done == request->range[blk->range].len) {
		blk->range++;
		blk->done = 0;
	}
	if (blk->range == request->ranges)
		/* Durable if the driver will not flush. */
		return request->kind == BLK_ZERO && !negotiated(blk, VIRTIO_BLK_F_FLUSH)
			       ? image_flush(&blk->image)
			       : 0;
	const struct blk_range *range = &request->range[blk->range];
	uint64_t offset = range->offset + blk->done;
	uint64_t left = range->len - blk->done;
	return request->kind == BLK_ZERO ? image_zero(&blk->image, offset, left, range->unmap)
					 : discard(blk, offset, left);
}

static ssize_t step(struct blk *blk)
{
	if (blk->request.status != VIRTIO_BLK_S_OK)
		return 0;
	switch (blk->request.kind) {
	case BLK_READ:
	case BLK_WRITE:
		return step_data(blk);
	case BLK_ID:
		return step_id(blk);
	case BLK_FLUSH:
		return image_flush(&blk->image);
	default:
		return step_range(blk);
	}
}

/* --- one request ----------------------------------------------------------------------------- */

/* Worse than a failed request: the lost data was acknowledged before. */
static void say_loss(struct blk *blk)
{
	int lost = blk->image.lost;
	if (blk->loss_logged)
		return;
	blk->loss_logged = true;
	log_warn("the host may have lost what the guest wrote to the disk '%s': %s; from now on "
		 "every flush fails: repair the host's storage, check the disk's file systems, and "
		 "restart the guest",
		 blk->file, lost == IMAGE_SHORTER ? "its file became shorter" : strerror(-lost));
}

/* The address of an EFAULT lies in guest RAM: the host could not fill the page, as of an empty pool of huge pages. */
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
	if (blk->failure_logged)
		return;
	blk->failure_logged = true;
	log_warn("the host cannot serve the disk '%s': %s; the guest gets an I/O error (said "
		 "once; see the count of failures)",
		 blk->file, reason_of((int)-error));
}

static void begin(struct blk *blk)
{
	blk->busy = true;
	blk->done = 0;
	blk->range = 0;
	blk->started = clock_ns();
	if (blk->request.kind == BLK_UNKNOWN)
		atomic_fetch_add(&blk->unknown, 1);
	else if (blk->request.kind < BLK_COUNTED && blk->request.status != VIRTIO_BLK_S_OK)
		atomic_fetch_add(&blk->counters[blk->request.kind].refused, 1);
}

static void account(struct blk *blk, bool failed)
{
	struct blk_counters *counters = &blk->counters[blk->request.kind];
	if (blk->request.kind >= BLK_COUNTED)
		return;
	atomic_fetch_add(&counters->ns, clock_ns() - blk->started);
	atomic_fetch_add(failed ? &counters->failed : &counters->operations, 1);
}

/*
 * Gives the chain back. The used length counts what was written from the first writable byte on, and the
 * status, which comes last, only if everything before it was written.
 */
static void finish(struct blk *blk, struct virtq *q)
{
	const struct blk_request *request = &blk->request;
	bool written = request->kind == BLK_READ || request->kind == BLK_ID;
	uint64_t len = written ? blk->done : 0;

	ram_write(blk->dev.host->ram, request->status_gpa, &request->status, 1);
	virtq_push(q, &blk->chain, (uint32_t)(len == request->writable ? len + 1 : len));
	blk->busy = false;
}

/* Does one piece of the request in progress. Returns what that costs of a turn. */
static uint64_t go_on(struct blk *blk, struct virtq *q)
{
	struct blk_request *request = &blk->request;
	bool carried_out = request->status == VIRTIO_BLK_S_OK;
	ssize_t moved = step(blk);

	if (moved > 0) {
		blk->done += moved;
		if (request->kind < BLK_COUNTED)
			atomic_fetch_add(&blk->counters[request->kind].bytes, moved);
		bool data = request->kind <= BLK_WRITE || request->kind == BLK_ID;
		if (!data || blk->done < request->len)
			return data ? REQUEST_COST + moved : TURN_BYTES;
	}
	if (moved < 0) {
		say_failure(blk, moved);
		request->status = VIRTIO_BLK_S_IOERR;
	}
	if (carried_out)
		account(blk, moved < 0);
	finish(blk, q);
	/* The host's disk had to work, for an unknown time. */
	return request->kind == BLK_FLUSH ? TURN_BYTES : REQUEST_COST + (moved > 0 ? moved : 0);
}

int blk_work(struct virtio_device *dev, unsigned int queue)
{
	struct blk *blk = blk_of(dev);
	struct virtq *q = &dev->queue[queue];
	const struct blk_limits limits = {
		.size = blk->image.size,
		.read_only = blk->image.read_only,
		.discard = negotiated(blk, VIRTIO_BLK_F_DISCARD),
		.zero = negotiated(blk, VIRTIO_BLK_F_WRITE_ZEROES),
	};

	for (uint64_t cost = 0; cost < TURN_BYTES; cost += go_on(blk, q)) {
		if (blk->busy)
			continue;
		int popped = virtq_pop(q, &blk->chain);
		if (popped <= 0)
			return popped;
		if (blk_request_parse(dev->host->ram, &blk->chain, &limits, &blk->request))
			return -EPROTO;
		begin(blk);
	}
	return -EAGAIN;
}
