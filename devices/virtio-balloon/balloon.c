// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio-balloon/balloon.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <string.h>

#include "devices/virtio-balloon/internal.h"
#include "devices/virtio-balloon/reclaim.h"

#define FEATURE(bit) (1ULL << (bit))

/* Linux reports up to 32 blocks in a chain, and gives up where the ring has no room for that. */
#define QUEUE_SIZE 128

void balloon_wake(struct balloon *balloon, enum balloon_role role)
{
	const struct virtio_host *host = balloon->dev.host;
	int queue = balloon_queue(balloon->dev.features, role);

	/* A queue that the driver has not set up yet is served at DRIVER_OK. */
	if (queue >= 0)
		host->defer(host->ctx, queue);
}

void balloon_refused(struct balloon *balloon, int error)
{
	if (!error || balloon->refusal_logged)
		return;
	balloon->refusal_logged = true;
	log_warn("the host failed to take back memory that the guest gives back: %s; it stays in "
		 "use (said once; see the count of failures)",
		 strerror(-error));
}

static int balloon_work(struct virtio_device *dev, unsigned int queue)
{
	struct balloon *balloon = balloon_of(dev);
	struct virtq *q = &dev->queue[queue];

	switch (balloon_role(dev->features, queue)) {
	case BALLOON_INFLATE:
		return balloon_pages_work(balloon, q, true);
	case BALLOON_DEFLATE:
		return balloon_pages_work(balloon, q, false);
	case BALLOON_STATS:
		return balloon_stats_work(balloon, q);
	case BALLOON_REPORTING:
		return balloon_report_work(balloon, q);
	case BALLOON_RECLAIM:
		return balloon_reclaim_work(balloon, q);
	default:
		/* The queue of a feature that was not negotiated: the driver must leave it empty. */
		return virtq_empty(q) ? 0 : -EPROTO;
	}
}

static int balloon_activate(struct virtio_device *dev)
{
	balloon_config_driver(balloon_of(dev), true);
	return 0;
}

/* The chains that the device holds between two turns are the driver's again. */
static bool balloon_drain(struct virtio_device *dev, unsigned int queue, uint64_t deadline)
{
	struct balloon *balloon = balloon_of(dev);
	(void)deadline;

	switch (balloon_role(dev->features, queue)) {
	case BALLOON_INFLATE:
		balloon->inflate.busy = false;
		break;
	case BALLOON_DEFLATE:
		balloon->deflate.busy = false;
		break;
	case BALLOON_STATS:
		balloon->stats_held = false;
		break;
	case BALLOON_RECLAIM:
		balloon->reclaim_held = false;
		break;
	default:
		break;
	}
	return true;
}

static void balloon_reset(struct virtio_device *dev)
{
	struct balloon *balloon = balloon_of(dev);

	balloon_config_driver(balloon, false);
	balloon_pages_reset(balloon);
	balloon_stats_reset(balloon);
	balloon_reclaim_reset(balloon);
}

static const struct virtio_device_ops balloon_ops = {
	.id = VIRTIO_ID_BALLOON,
	.name = "balloon",
	.activate = balloon_activate,
	.drain = balloon_drain,
	.reset = balloon_reset,
	.work = balloon_work,
	.config_size = sizeof(struct virtio_balloon_config),
	.config_read = balloon_config_read,
	.config_write = balloon_config_write,
	.settled = balloon_settled,
	.save = balloon_save,
	.restore = balloon_restore,
};

static uint64_t features_of(const struct balloon_config *config, const struct ram *ram)
{
	uint64_t features = VIRTIO_FEATURES | FEATURE(VIRTIO_BALLOON_F_MUST_TELL_HOST) |
			    FEATURE(VIRTIO_BALLOON_F_STATS_VQ);

	/* A guest that relies on the content of its free pages reports only if it can say so. */
	if (config->free_page_reporting)
		features |= BALLOON_RECLAIM_FEATURES | FEATURE(VIRTIO_BALLOON_F_PAGE_POISON);
	/* A promise of zeros: with MADV_FREE the old content can stay for hours. */
	if (config->free_page_reporting && ram_discard_zeroes(ram))
		features |= FEATURE(VIRTIO_BALLOON_F_DEVICE_INIT_REPORTED);
	if (config->deflate_on_oom)
		features |= FEATURE(VIRTIO_BALLOON_F_DEFLATE_ON_OOM);
	return features;
}

int balloon_init(struct balloon *balloon, const struct balloon_config *config,
		 const struct virtio_host *host)
{
	uint64_t features = features_of(config, host->ram);
	uint64_t pages = ram_size(host->ram) >> VIRTIO_BALLOON_PFN_SHIFT;

	*balloon = (struct balloon){
		.dev =
			{
				.ops = &balloon_ops,
				.host = host,
				.features_offered = features,
				.queues = balloon_queues(features),
			},
		.pages_max = pages < UINT32_MAX ? pages : UINT32_MAX,
	};
	for (unsigned int i = 0; i < balloon->dev.queues; i++)
		balloon->dev.queue[i].size_max = QUEUE_SIZE;
	int error = partial_pages_init(&balloon->parts, host->ram);
	if (error)
		return error;
	pthread_mutex_init(&balloon->lock, NULL);
	balloon_config_init(balloon, config->target);
	return 0;
}

bool balloon_offers_reporting(const struct balloon *balloon)
{
	return balloon->dev.features_offered & FEATURE(VIRTIO_BALLOON_F_REPORTING);
}

bool balloon_offers_deflate_on_oom(const struct balloon *balloon)
{
	return balloon->dev.features_offered & FEATURE(VIRTIO_BALLOON_F_DEFLATE_ON_OOM);
}

bool balloon_deflates_on_oom(const struct balloon *balloon)
{
	return balloon->dev.features & FEATURE(VIRTIO_BALLOON_F_DEFLATE_ON_OOM);
}

void balloon_on_changed(struct balloon *balloon, void (*changed)(void *ctx), void *ctx)
{
	balloon->changed = changed;
	balloon->changed_ctx = ctx;
}

void balloon_on_reclaimed(struct balloon *balloon, void (*reclaimed)(void *ctx), void *ctx)
{
	balloon->reclaimed = reclaimed;
	balloon->reclaimed_ctx = ctx;
}

void balloon_release(struct balloon *balloon)
{
	partial_pages_release(&balloon->parts);
	pthread_mutex_destroy(&balloon->lock);
}
