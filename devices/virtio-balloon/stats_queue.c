// SPDX-License-Identifier: Apache-2.0
/*
 * The statistics queue (virtio 1.2 §5.5.6.3): the driver gives a buffer with its statistics, the
 * device keeps it, and gives it back to ask for fresh ones.
 */
#include <errno.h>
#include <string.h>

#include "devices/virtio-balloon/internal.h"
#include "vmm/lib/clock.h"

static void give_back(struct balloon *balloon, struct virtq *q)
{
	virtq_push(q, &balloon->stats_chain, 0);
	balloon->stats_held = false;
}

static void update(struct balloon *balloon, const void *data, size_t len)
{
	pthread_mutex_lock(&balloon->lock);
	balloon_stats_parse(&balloon->stats, data, len, balloon_reclaims(balloon));
	balloon->stats.updated = (int64_t)(clock_realtime_ns() / NS_PER_S);
	balloon->stats.updates++;
	pthread_mutex_unlock(&balloon->lock);
}

int balloon_stats_work(struct balloon *balloon, struct virtq *q)
{
	uint8_t data[BALLOON_STATS_BYTES];
	struct virtq_cursor cursor = {0};
	struct virtq_chain chain;

	/* A request stays open until there is a buffer to give back. */
	if (balloon->stats_held && atomic_exchange(&balloon->stats_wanted, false))
		give_back(balloon, q);

	int popped = virtq_pop(q, &chain);
	if (popped <= 0)
		return popped;
	if (chain.readable != chain.buffers)
		return -EPROTO;
	ssize_t len = virtq_read(balloon->dev.host->ram, &chain, &cursor, data, sizeof(data));
	if (len < 0)
		return -EPROTO;
	/*
	 * A driver must not give a second buffer while the device holds one (§5.5.6.3.1). Accept
	 * it: its statistics are newer, and giving the older one back keeps the ring whole.
	 */
	if (balloon->stats_held)
		give_back(balloon, q);
	update(balloon, data, len);
	balloon->stats_chain = chain;
	balloon->stats_held = true;
	/* -EAGAIN: nothing else wakes the worker for a request made while no buffer was held. */
	return atomic_load(&balloon->stats_wanted) || !virtq_empty(q) ? -EAGAIN : 0;
}

void balloon_stats_reset(struct balloon *balloon)
{
	/* The buffer is the guest's again, and its statistics came from a driver that is gone. */
	balloon->stats_held = false;
	atomic_store(&balloon->stats_wanted, false);
	pthread_mutex_lock(&balloon->lock);
	memset(balloon->stats.present, 0, sizeof(balloon->stats.present));
	memset(balloon->stats.value, 0, sizeof(balloon->stats.value));
	pthread_mutex_unlock(&balloon->lock);
}

void balloon_stats_request(struct balloon *balloon)
{
	atomic_store(&balloon->stats_wanted, true);
	balloon_wake(balloon, BALLOON_STATS);
}

void balloon_stats_get(struct balloon *balloon, struct balloon_stats *stats)
{
	pthread_mutex_lock(&balloon->lock);
	*stats = balloon->stats;
	pthread_mutex_unlock(&balloon->lock);
}
