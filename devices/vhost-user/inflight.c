// SPDX-License-Identifier: Apache-2.0
#include "devices/vhost-user/inflight.h"

#include <endian.h>
#include <errno.h>

void inflight_init(struct inflight *inflight, const struct virtq *q)
{
	*inflight = (struct inflight){.avail = q->next_avail, .used = q->next_used, .exact = true};
}

static void look_at_avail(struct inflight *inflight, const struct virtq *q,
			  const struct inflight_hooks *hooks, void *ctx)
{
	uint16_t end = le16toh(__atomic_load_n(&q->avail->idx, __ATOMIC_ACQUIRE));

	if ((uint16_t)(end - inflight->avail) > q->size) {
		inflight->exact = false;
		inflight->avail = end;
	}
	while (inflight->avail != end) {
		const __virtio16 *slot = &q->avail->ring[inflight->avail++ % q->size];
		uint16_t head = le16toh(__atomic_load_n(slot, __ATOMIC_RELAXED));
		if (head >= q->size)
			continue;
		inflight->out[head]++;
		if (hooks->added)
			hooks->added(ctx, head);
	}
}

static int look_at_used(struct inflight *inflight, const struct virtq *q,
			const struct inflight_hooks *hooks, void *ctx)
{
	uint16_t end = le16toh(__atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE));

	if ((uint16_t)(end - inflight->used) > q->size) {
		inflight->exact = false;
		inflight->used = end;
	}
	while (inflight->used != end) {
		const __virtio32 *id = &q->used->ring[inflight->used++ % q->size].id;
		uint32_t head = le32toh(__atomic_load_n(id, __ATOMIC_RELAXED));
		if (head >= q->size)
			return -EPROTO;
		inflight->out[head]--;
		if (hooks->returned)
			hooks->returned(ctx, (uint16_t)head);
	}
	return 0;
}

int inflight_look_and_tell(struct inflight *inflight, const struct virtq *q,
			   const struct inflight_hooks *hooks, void *ctx)
{
	look_at_avail(inflight, q, hooks, ctx);
	return look_at_used(inflight, q, hooks, ctx);
}

int inflight_look(struct inflight *inflight, const struct virtq *q)
{
	return inflight_look_and_tell(inflight, q, &(struct inflight_hooks){0}, NULL);
}

bool inflight_any(const struct inflight *inflight, const struct virtq *q)
{
	return !inflight->exact || inflight_next(inflight, q, 0) >= 0;
}

int inflight_next(const struct inflight *inflight, const struct virtq *q, unsigned int head)
{
	for (; head < q->size; head++)
		if (inflight->out[head] > 0)
			return (int)head;
	return -1;
}
