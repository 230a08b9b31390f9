// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio-balloon/balloon.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <stddef.h>
#include <string.h>

#include "devices/virtio-balloon/layout.h"
#include "devices/virtio-balloon/range.h"

#define FEATURE(bit) (1ULL << (bit))

/* Linux reports up to 32 blocks in a chain, and gives up where the ring has no room for that. */
#define QUEUE_SIZE 128

static struct balloon *balloon_of(struct virtio_device *dev)
{
	return (struct balloon *)((char *)dev - offsetof(struct balloon, dev));
}

/* --- free page reporting: README.md tells the whole way -------------------------------------- */

/* Whether all of @block lies in one step, and that was done. Ranges were merged: one is enough. */
static bool block_gone(const struct gpa_range *block, const struct discard_step *step, size_t steps)
{
	if (block->len == 0)
		return true;
	for (size_t i = 0; i < steps; i++) {
		uint64_t offset = block->gpa - step[i].range.gpa;
		if (offset < step[i].range.len && block->len <= step[i].range.len - offset)
			return step[i].done;
	}
	return false;
}

/*
 * How many bytes from the chain's start on, in the driver's order, certainly read as zero: whole
 * blocks, up to the first that was not discarded whole.
 */
static uint32_t bytes_gone(const struct virtq_chain *chain, const struct discard_step *step,
			   size_t steps)
{
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < chain->buffers; i++) {
		const struct gpa_range *block = &chain->buffer[i];
		/* A used length has 32 bits; a chain may hold one byte more than they can say. */
		if (!block_gone(block, step, steps) || bytes + block->len > UINT32_MAX)
			break;
		bytes += block->len;
	}
	return bytes;
}

static void count(struct balloon *balloon, const struct virtq_chain *chain, size_t steps,
		  const struct discard_result *result)
{
	struct balloon_counters *counters = &balloon->counters;

	atomic_fetch_add(&counters->reports, 1);
	atomic_fetch_add(&counters->blocks, chain->buffers);
	atomic_fetch_add(&counters->bytes, result->bytes);
	atomic_fetch_add(&counters->ranges, steps);
	atomic_fetch_add(&counters->failures, result->failures);

	if (result->error && !balloon->refusal_logged) {
		balloon->refusal_logged = true;
		log_warn("the host does not take back memory that the guest reports free: %s; "
			 "it stays in use (said once; see the count of failures)",
			 strerror(-result->error));
	}
	if (!result->error && result->failures)
		log_guest(&balloon->log,
			  "virtio-balloon: reported something as free that is not RAM");
}

/* Discards what a chain reports. Returns the used length, or -EPROTO. */
static int64_t report(struct balloon *balloon, const struct virtq_chain *chain)
{
	const struct virtio_host *host = balloon->dev.host;
	struct gpa_range range[VIRTIO_QUEUE_SIZE_MAX];
	struct discard_step step[DISCARD_STEPS(VIRTIO_QUEUE_SIZE_MAX)];
	struct discard_result result;

	/* A block is about to be overwritten, with zeros: only the device may write to it now. */
	if (chain->readable)
		return -EPROTO;

	memcpy(range, chain->buffer, chain->buffers * sizeof(range[0]));
	size_t ranges = range_merge(range, chain->buffers);
	size_t steps = host->discard(host->ctx, range, ranges, step, &result);
	count(balloon, chain, steps, &result);
	return bytes_gone(chain, step, steps);
}

/* --- the device ------------------------------------------------------------------------------ */

/* One chain at a time: a reset waits for no more than this. */
static int balloon_work(struct virtio_device *dev, unsigned int queue)
{
	struct virtq *q = &dev->queue[queue];
	struct virtq_chain chain;
	int64_t used = 0;

	int popped = virtq_pop(q, &chain);
	if (popped <= 0)
		return popped;

	switch (balloon_role(dev->features, queue)) {
	case BALLOON_REPORTING:
		used = report(balloon_of(dev), &chain);
		break;
	case BALLOON_INFLATE:
	case BALLOON_DEFLATE:
		break; /* nothing was asked for (num_pages is 0): acknowledged and ignored */
	default:
		used = -EPROTO; /* the queue of a feature that was not negotiated */
		break;
	}
	if (used < 0)
		return used;
	virtq_push(q, &chain, used);
	return virtq_empty(q) ? 0 : -EAGAIN;
}

static void balloon_activate(struct virtio_device *dev)
{
	(void)dev; /* nothing to prepare: all there is comes with each chain */
}

static void balloon_reset(struct virtio_device *dev)
{
	memset(&balloon_of(dev)->registers, 0, sizeof(balloon_of(dev)->registers));
}

/* @data and @len overlap the configuration space by so many bytes from @offset on. */
static size_t config_overlap(uint64_t offset, size_t len)
{
	const size_t size = sizeof(struct virtio_balloon_config);
	if (offset >= size)
		return 0;
	return len < size - offset ? len : size - offset;
}

static void balloon_config_read(struct virtio_device *dev, uint64_t offset, void *data, size_t len)
{
	const uint8_t *registers = (const uint8_t *)&balloon_of(dev)->registers;
	size_t overlap = config_overlap(offset, len);

	memset(data, 0, len);
	memcpy(data, registers + (overlap ? offset : 0), overlap);
}

/* The driver may write `actual` only, and cannot have more pages in the balloon than there are. */
static void balloon_config_write(struct virtio_device *dev, uint64_t offset, const void *data,
				 size_t len)
{
	struct balloon *balloon = balloon_of(dev);
	struct virtio_balloon_config written = balloon->registers;
	size_t overlap = config_overlap(offset, len);

	memcpy((uint8_t *)&written + (overlap ? offset : 0), data, overlap);
	uint32_t actual = le32toh(written.actual);
	if (actual > balloon->actual_max)
		actual = balloon->actual_max;
	balloon->registers.actual = htole32(actual);
}

static const struct virtio_device_ops balloon_ops = {
	.id = VIRTIO_ID_BALLOON,
	.name = "balloon",
	.activate = balloon_activate,
	.reset = balloon_reset,
	.work = balloon_work,
	.config_read = balloon_config_read,
	.config_write = balloon_config_write,
};

int balloon_init(struct balloon *balloon, const struct balloon_config *config,
		 const struct virtio_host *host)
{
	uint64_t features = FEATURE(VIRTIO_F_VERSION_1);
	uint64_t pages = ram_size(host->ram) >> VIRTIO_BALLOON_PFN_SHIFT;

	if (config->free_page_reporting)
		features |= FEATURE(VIRTIO_BALLOON_F_REPORTING);
	*balloon = (struct balloon){
		.dev =
			{
				.ops = &balloon_ops,
				.host = host,
				.features_offered = features,
				.queues = balloon_queues(features),
			},
		.actual_max = pages < UINT32_MAX ? pages : UINT32_MAX,
	};
	for (unsigned int i = 0; i < balloon->dev.queues; i++)
		balloon->dev.queue[i].size_max = QUEUE_SIZE;
	return 0;
}

void balloon_release(struct balloon *balloon)
{
	(void)balloon; /* it holds nothing that was opened or allocated */
}
