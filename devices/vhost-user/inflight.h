/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which chains of a queue the backend has: those that the driver made available and the backend did
 * not return. When a backend has died, its device can answer these itself, and the driver does not
 * wait forever.
 *
 * The rings alone do not tell: their entries are overwritten while one chain is out for long. So the
 * device looks at each notification, of either side. That is enough as long as no more than a whole
 * ring passed between two looks; if more did, the tracker says that it does not know.
 *
 * Both rings are written by others: each index is read once, and what it leads to is checked.
 * Thread: any, one at a time, as struct virtq.
 */
#ifndef EBB_VHOST_USER_INFLIGHT_H
#define EBB_VHOST_USER_INFLIGHT_H

#include "devices/virtio/queue.h"

struct inflight {
	uint16_t avail, used; /* the rings' indices at the last look */
	bool exact;	      /* every entry up to these was seen */
	/*
	 * By the head: how often it was made available, less how often it was returned. Between two looks it may
	 * be anything; once the backend is gone, 1 is a chain that it had.
	 */
	int16_t out[VIRTIO_QUEUE_SIZE_MAX];
};

/* What a look tells its caller of: each chain that was made available, or returned. May be NULL. */
struct inflight_hooks {
	void (*added)(void *ctx, uint16_t head);
	void (*returned)(void *ctx, uint16_t head);
};

/* Begins at @q's own place in the rings: no chain is out. */
void inflight_init(struct inflight *inflight, const struct virtq *q);

/*
 * Looks at the rings of @q, which is ready. Returns 0, or -EPROTO if the backend returned something
 * that is no head. A head of the driver's that does not exist is not counted: the backend is its judge.
 */
int inflight_look(struct inflight *inflight, const struct virtq *q);
/* As inflight_look(), and calls @hooks with @ctx. */
int inflight_look_and_tell(struct inflight *inflight, const struct virtq *q,
			   const struct inflight_hooks *hooks, void *ctx);

/* Returns whether a chain is out, or whether it cannot be told. */
bool inflight_any(const struct inflight *inflight, const struct virtq *q);

/* Returns the first head from @head on that is out, or -1. */
int inflight_next(const struct inflight *inflight, const struct virtq *q, unsigned int head);

#endif
