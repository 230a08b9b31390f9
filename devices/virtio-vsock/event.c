// SPDX-License-Identifier: Apache-2.0
/*
 * The device in a snapshot, and the event queue, whose only use is to tell a restored guest that its connections are no
 * more (§5.10.6.7): its programs of the host are those of the guest that was saved.
 */
#include <endian.h>
#include <errno.h>

#include "devices/virtio-vsock/internal.h"

/*
 * The connections stay with this device: nothing of them is saved. But their ports must not be used again at once: until
 * the guest's programs close their ends, the guest would take a new connection for an old one.
 */
void vsock_save(struct virtio_device *dev, struct record *record)
{
	struct vsock *vsock = vsock_of(dev);

	pthread_mutex_lock(&vsock->lock);
	record_u32(record, vsock->next_port);
	pthread_mutex_unlock(&vsock->lock);
}

int vsock_restore(struct virtio_device *dev, struct record_in *in)
{
	struct vsock *vsock = vsock_of(dev);

	uint32_t port = record_take_u32(in);
	vsock->next_port = port < VSOCK_PORT_FIRST ? VSOCK_PORT_FIRST : port;
	for (unsigned int i = 0; i < dev->queues; i++)
		if (!virtio_queues_hold(dev, i, 0))
			return -EINVAL;
	if (vsock->active && dev->queue[VSOCK_EVENT].ready)
		vsock->event = VSOCK_EVENT_OWED;
	return 0;
}

/* Returns 0 or -EPROTO. Without a buffer it is told later: the driver rings when it gives one. */
static int tell(struct vsock *vsock, struct virtq *q)
{
	const struct virtio_vsock_event event = {htole32(VIRTIO_VSOCK_EVENT_TRANSPORT_RESET)};
	struct virtq_chain chain;

	int popped = virtq_pop(q, &chain);
	if (popped <= 0)
		return popped;
	if (chain.readable ||
	    virtq_write(vsock->dev.host->ram, &chain, &event, sizeof(event)) != sizeof(event))
		return -EPROTO;
	vsock->event = VSOCK_EVENT_TOLD;
	vsock->event_seen = q->seen;
	virtq_push(q, &chain, sizeof(event));
	return 0;
}

int vsock_tell_event(struct vsock *vsock, struct virtq *q)
{
	if (vsock->event == VSOCK_EVENT_OWED)
		return tell(vsock, q);
	/* The driver gives the buffer back when it has reset all connections, the newest among them. */
	if (vsock->event == VSOCK_EVENT_TOLD && !virtq_saw_all(q, vsock->event_seen))
		vsock->event = VSOCK_EVENT_NONE;
	return 0;
}
