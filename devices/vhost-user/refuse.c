// SPDX-License-Identifier: Apache-2.0
/*
 * Without a backend: each request is answered with an error. Otherwise the guest's programs would
 * wait forever, and so would the driver's removal.
 */
#include <errno.h>

#include "devices/vhost-user/device.h"

/* Answers the chains that the backend had. Returns 0 or -EPROTO. */
static int settle(struct vhost_user_device *device, unsigned int queue)
{
	struct inflight *inflight = &device->queue[queue].inflight;
	struct virtq *q = &device->dev.queue[queue];
	struct virtq_chain chain;

	/* It cannot be told which they are: the driver has to begin again. */
	if (!inflight->exact)
		return -EPROTO;
	q->next_used = inflight->used;
	for (int head = 0; (head = inflight_next(inflight, q, (unsigned int)head)) >= 0; head++) {
		if (virtq_chain_at(q, (uint16_t)head, &chain))
			return -EPROTO;
		virtq_push(q, &chain, device->kind->refuse(q->ram, &chain));
	}
	q->next_avail = inflight->avail;
	/* With a driver that keeps the rules, as many were made available as were returned now. */
	return q->next_avail == q->next_used ? 0 : -EPROTO;
}

int vhost_user_device_refuse(struct vhost_user_device *device, unsigned int queue)
{
	struct virtq *q = &device->dev.queue[queue];
	struct virtq_chain chain;
	int got;

	if (device->queue[queue].owed) {
		device->queue[queue].owed = false;
		int error = settle(device, queue);
		if (error)
			return error;
	}
	for (unsigned int i = 0; i < q->size; i++) {
		got = virtq_pop(q, &chain);
		if (got <= 0)
			return got;
		if (device->kind->begins && atomic_load(&device->next) >= 0 &&
		    device->kind->begins(q->ram, &chain)) {
			virtq_unpop(q, 1);
			return 1;
		}
		virtq_push(q, &chain, device->kind->refuse(q->ram, &chain));
	}
	return -EAGAIN;
}
