/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers the queues. The specification lists inflate, deflate, stats, free page hints, reporting
 * (virtio 1.2 §5.5.2), but drivers number only the queues whose feature was negotiated, without
 * gaps (Linux, virtio_find_vqs()): with REPORTING alone its queue is 2, not 4. ebb's own queue,
 * for reclaim, is the last. Pure.
 */
#ifndef EBB_VIRTIO_BALLOON_QUEUES_H
#define EBB_VIRTIO_BALLOON_QUEUES_H

#include <stdint.h>

enum balloon_role {
	BALLOON_NONE, /* no queue of that number with these features */
	BALLOON_INFLATE,
	BALLOON_DEFLATE,
	BALLOON_STATS,
	BALLOON_HINT,
	BALLOON_REPORTING,
	BALLOON_RECLAIM,
};

/* Returns the role of @queue if @features were negotiated. */
enum balloon_role balloon_role(uint64_t features, unsigned int queue);

/* Returns the number of the queue for @role if @features were negotiated, or -1 if there is none. */
int balloon_queue(uint64_t features, enum balloon_role role);

/* Returns how many queues there are with @features. */
unsigned int balloon_queues(uint64_t features);

#endif
