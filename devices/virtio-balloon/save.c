// SPDX-License-Identifier: Apache-2.0
/*
 * The balloon in a snapshot: its registers, and the chains that it holds. Statistics and the host's open request
 * are left out: the first come again, and nobody waits for the second in a restored guest. Which parts of larger
 * pages are in the balloon (partial_pages.h) is not saved: snapshots need a host with pages of 4 KiB.
 */
#include <endian.h>
#include <errno.h>

#include "devices/virtio-balloon/internal.h"

/* A chain that was taken in part is taken again from its start: to discard a page twice does no harm. */
static void rewind_walk(struct balloon *balloon, struct balloon_walk *walk, enum balloon_role role)
{
	int queue = balloon_queue(balloon->dev.features, role);

	if (walk->busy && queue >= 0)
		virtq_unpop(&balloon->dev.queue[queue], 1);
	walk->busy = false;
}

bool balloon_settled(struct virtio_device *dev)
{
	struct balloon *balloon = balloon_of(dev);

	rewind_walk(balloon, &balloon->inflate, BALLOON_INFLATE);
	rewind_walk(balloon, &balloon->deflate, BALLOON_DEFLATE);
	return true;
}

void balloon_save(struct virtio_device *dev, struct record *record)
{
	struct balloon *balloon = balloon_of(dev);

	pthread_mutex_lock(&balloon->lock);
	record_u32(record, le32toh(balloon->registers.num_pages));
	record_u32(record, le32toh(balloon->registers.actual));
	record_u32(record, le32toh(balloon->registers.poison_val));
	record_u32(record, balloon->reclaim.id);
	record_u8(record, balloon->reclaim.sent);
	pthread_mutex_unlock(&balloon->lock);
	record_u8(record, balloon->stats_held);
	record_u16(record, balloon->stats_held ? balloon->stats_chain.head : 0);
	record_u8(record, balloon->reclaim_held);
	record_u16(record, balloon->reclaim_held ? balloon->reclaim_chain.head : 0);
}

/* Takes the chain that the device held, which still is as the driver left it. Returns 0 or -EINVAL. */
static int take_chain(struct balloon *balloon, enum balloon_role role, uint8_t held, uint16_t head,
		      struct virtq_chain *chain)
{
	int queue = balloon_queue(balloon->dev.features, role);

	if (!held)
		return 0;
	if (held > 1 || queue < 0 || !balloon->dev.queue[queue].ready)
		return -EINVAL;
	/* The guest may have written over it meanwhile: then it harms itself, as it could before. */
	return virtq_chain_at(&balloon->dev.queue[queue], head, chain) ? -EINVAL : 0;
}

/* Each queue's chains that are taken, and not returned, must be those that the device holds. */
static bool holds_all(const struct balloon *balloon)
{
	for (unsigned int i = 0; i < balloon->dev.queues; i++) {
		enum balloon_role role = balloon_role(balloon->dev.features, i);
		bool held = (role == BALLOON_STATS && balloon->stats_held) ||
			    (role == BALLOON_RECLAIM && balloon->reclaim_held);
		if (!virtio_queues_hold(&balloon->dev, i, held))
			return false;
	}
	return true;
}

int balloon_restore(struct virtio_device *dev, struct record_in *in)
{
	struct balloon *balloon = balloon_of(dev);

	pthread_mutex_lock(&balloon->lock);
	uint32_t target = record_take_u32(in), actual = record_take_u32(in);
	balloon->registers.num_pages =
		htole32(target < balloon->pages_max ? target : balloon->pages_max);
	balloon->registers.actual =
		htole32(actual < balloon->pages_max ? actual : balloon->pages_max);
	balloon->registers.poison_val = htole32(record_take_u32(in));
	balloon->reclaim.id = record_take_u32(in);
	balloon->reclaim.sent = record_take_u8(in) != 0;
	pthread_mutex_unlock(&balloon->lock);
	uint8_t stats = record_take_u8(in);
	uint16_t stats_head = record_take_u16(in);
	uint8_t reclaim = record_take_u8(in);
	uint16_t reclaim_head = record_take_u16(in);

	if (in->bad ||
	    take_chain(balloon, BALLOON_STATS, stats, stats_head, &balloon->stats_chain) ||
	    take_chain(balloon, BALLOON_RECLAIM, reclaim, reclaim_head, &balloon->reclaim_chain))
		return -EINVAL;
	/* The next request is written there without another look. */
	if (reclaim && !balloon_reclaim_fits(balloon, &balloon->reclaim_chain))
		return -EINVAL;
	balloon->stats_held = stats != 0;
	balloon->reclaim_held = reclaim != 0;
	return holds_all(balloon) ? 0 : -EINVAL;
}
