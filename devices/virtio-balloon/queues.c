// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio-balloon/queues.h"

#include <stddef.h>

#include "devices/virtio-balloon/reclaim.h"

/* In the specification's order, then ebb's own. */
static const struct {
	uint64_t features; /* the queue exists if all of these were negotiated */
	enum balloon_role role;
} queues[] = {
	{0, BALLOON_INFLATE},
	{0, BALLOON_DEFLATE},
	{1ULL << VIRTIO_BALLOON_F_STATS_VQ, BALLOON_STATS},
	{1ULL << VIRTIO_BALLOON_F_FREE_PAGE_HINT, BALLOON_HINT},
	{1ULL << VIRTIO_BALLOON_F_REPORTING, BALLOON_REPORTING},
	{BALLOON_RECLAIM_FEATURES, BALLOON_RECLAIM},
};

enum balloon_role balloon_role(uint64_t features, unsigned int queue)
{
	unsigned int number = 0;

	for (size_t i = 0; i < sizeof(queues) / sizeof(queues[0]); i++)
		if ((features & queues[i].features) == queues[i].features && number++ == queue)
			return queues[i].role;
	return BALLOON_NONE;
}

unsigned int balloon_queues(uint64_t features)
{
	unsigned int number = 0;

	while (balloon_role(features, number) != BALLOON_NONE)
		number++;
	return number;
}

int balloon_queue(uint64_t features, enum balloon_role role)
{
	enum balloon_role found;

	for (int i = 0; (found = balloon_role(features, i)) != BALLOON_NONE; i++)
		if (found == role)
			return i;
	return -1;
}
