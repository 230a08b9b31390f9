// SPDX-License-Identifier: Apache-2.0
/* The device's life and configuration; receive.c and transmit.c serve its queues, host.c the sockets. */
#include "devices/virtio-vsock/vsock.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <string.h>
#include <unistd.h>

#include "devices/virtio-vsock/internal.h"
#include "vmm/lib/wake.h"

/* Only in newer headers (§5.10.3): the device has streams. */
#define F_STREAM 0

static int vsock_activate(struct virtio_device *dev)
{
	struct vsock *vsock = vsock_of(dev);

	pthread_mutex_lock(&vsock->lock);
	vsock->active = true;
	pthread_mutex_unlock(&vsock->lock);
	return 0;
}

static void drop_all(struct vsock *vsock)
{
	for (unsigned int i = vsock->most; i-- > 0;)
		if (vsock->connection[i].state != VSOCK_FREE)
			vsock_drop(&vsock->connection[i]);
	vsock->resets = 0;
	vsock->waits = false;
}

static void vsock_reset(struct virtio_device *dev)
{
	struct vsock *vsock = vsock_of(dev);

	pthread_mutex_lock(&vsock->lock);
	vsock->active = false;
	vsock->event = VSOCK_EVENT_NONE;
	drop_all(vsock);
	pthread_mutex_unlock(&vsock->lock);
}

static bool has_ready(const struct vsock *vsock)
{
	uint64_t any = vsock->resets;

	for (unsigned int i = 0; i < VSOCK_CONNECTIONS_MAX / 64; i++)
		any |= vsock->ready[i];
	return any != 0;
}

/* Has the worker look at a queue for which the other one has made work. */
static int work_locked(struct vsock *vsock, unsigned int queue)
{
	const struct virtio_host *host = vsock->dev.host;
	struct virtq *q = &vsock->dev.queue[queue];
	int result = 0;

	if (queue == VSOCK_EVENT) {
		result = vsock_tell_event(vsock, q);
		host->defer(host->ctx, VSOCK_RECEIVE);
	} else if (queue == VSOCK_TRANSMIT) {
		result = vsock_transmit(vsock, q);
		if (has_ready(vsock))
			host->defer(host->ctx, VSOCK_RECEIVE);
	} else if (vsock->event == VSOCK_EVENT_NONE) {
		result = vsock_receive(vsock, q);
		if (vsock->waits && vsock->resets < VSOCK_RESETS_MAX / 2)
			host->defer(host->ctx, VSOCK_TRANSMIT);
	}
	return result;
}

static int vsock_work(struct virtio_device *dev, unsigned int queue)
{
	struct vsock *vsock = vsock_of(dev);
	int result = 0;

	if (atomic_load(&vsock->held))
		return 0;
	pthread_mutex_lock(&vsock->lock);
	result = work_locked(vsock, queue);
	pthread_mutex_unlock(&vsock->lock);
	return result;
}

static void vsock_config_read(struct virtio_device *dev, size_t offset, void *data, size_t len)
{
	const struct virtio_vsock_config registers = {htole64(vsock_of(dev)->config.cid)};

	memcpy(data, (const uint8_t *)&registers + offset, len);
}

static const struct virtio_device_ops vsock_ops = {
	.id = VIRTIO_ID_VSOCK,
	.name = "vsock",
	.activate = vsock_activate,
	.reset = vsock_reset,
	.work = vsock_work,
	.config_size = sizeof(struct virtio_vsock_config),
	.config_read = vsock_config_read,
	.save = vsock_save,
	.restore = vsock_restore,
};

void vsock_hold(struct vsock *vsock, bool held)
{
	const struct virtio_host *host = vsock->dev.host;

	atomic_store(&vsock->held, held);
	for (unsigned int i = 0; i < VSOCK_QUEUES && !held; i++)
		host->defer(host->ctx, i);
}

int vsock_init(struct vsock *vsock, const struct vsock_config *config,
	       const struct virtio_host *host)
{
	vsock->config = *config;
	vsock->dev.ops = &vsock_ops;
	vsock->dev.host = host;
	vsock->dev.features_offered =
		VIRTIO_FEATURES | 1ULL << VIRTIO_RING_F_INDIRECT_DESC | 1ULL << F_STREAM;
	vsock->dev.queues = VSOCK_QUEUES;
	for (unsigned int i = 0; i < VSOCK_QUEUES; i++)
		vsock->dev.queue[i].size_max = VSOCK_QUEUE_SIZE;
	vsock->next_port = VSOCK_PORT_FIRST;
	pthread_mutex_init(&vsock->lock, NULL);
	vsock->listener = (struct loop_source){config->listener, vsock_listener_rang, vsock};
	vsock->timer = (struct loop_source){wake_timer_open(), vsock_timer_rang, vsock};
	if (vsock->timer.fd < 0)
		return vsock->timer.fd;
	int error = loop_add(config->loop, &vsock->timer);
	return error ? error : loop_add(config->loop, &vsock->listener);
}

void vsock_release(struct vsock *vsock)
{
	if (!vsock->dev.ops)
		return;
	drop_all(vsock);
	if (vsock->timer.fd >= 0)
		close(vsock->timer.fd);
	if (vsock->listener.fd >= 0)
		close(vsock->listener.fd);
	pthread_mutex_destroy(&vsock->lock);
	vsock->dev.ops = NULL;
}
