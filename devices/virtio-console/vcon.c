// SPDX-License-Identifier: Apache-2.0
/* The device's life and configuration; port.c and control.c serve its queues. */
#include "devices/virtio-console/vcon.h"

#include <endian.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <string.h>

#include "devices/virtio-console/internal.h"

/* Has the worker tell the driver what it has to be told, if there is a queue for that. */
static void tell_soon(struct vcon *vcon)
{
	const struct virtio_host *host = vcon->dev.host;

	if (vcon->dev.queues > VCON_CONTROL_TO_GUEST)
		host->defer(host->ctx, VCON_CONTROL_TO_GUEST);
}

/* What the host holds for the guest stays: it may have been typed before the driver came. */
static void vcon_reset(struct virtio_device *dev)
{
	struct vcon *vcon = vcon_of(dev);

	pthread_mutex_lock(&vcon->lock);
	for (unsigned int i = 0; i < vcon->ports; i++) {
		struct vcon_port *port = &vcon->port[i];
		port->sent = (struct virtq_cursor){0};
		port->ready = port->guest_open = false;
		port->tell = 0;
	}
	vcon->size_told = false;
	pthread_mutex_unlock(&vcon->lock);
}

static int vcon_work(struct virtio_device *dev, unsigned int queue)
{
	struct vcon *vcon = vcon_of(dev);
	struct virtq *q = &dev->queue[queue];
	unsigned int port = queue / 2 ? queue / 2 - 1 : 0;

	if (atomic_load(&vcon->held))
		return 0;
	/* A driver that has not accepted several ports has no other queues. */
	if (queue >= VCON_CONTROL_TO_GUEST && !vcon_has(vcon, VIRTIO_CONSOLE_F_MULTIPORT))
		return 0;
	if (queue == VCON_CONTROL_TO_GUEST)
		return vcon_tell(vcon, q);
	if (queue == VCON_CONTROL_FROM_GUEST)
		return vcon_hear(vcon, q);
	if (!vcon->port[port].present)
		return 0;
	return queue % 2 == VCON_RECEIVE ? vcon_to_guest(vcon, port, q)
					 : vcon_from_guest(vcon, port, q);
}

static void vcon_config_read(struct virtio_device *dev, size_t offset, void *data, size_t len)
{
	struct vcon *vcon = vcon_of(dev);

	pthread_mutex_lock(&vcon->lock);
	const struct virtio_console_config registers = {
		.cols = htole16(vcon->columns),
		.rows = htole16(vcon->rows),
		.max_nr_ports = htole32(vcon->ports),
	};
	pthread_mutex_unlock(&vcon->lock);
	memcpy(data, (const uint8_t *)&registers + offset, len);
}

void vcon_renew_size(struct vcon *vcon)
{
	struct vcon_port *console = &vcon->port[0];

	atomic_fetch_add(&vcon->dev.config_generation, 1);
	if (console->ready)
		console->tell |= vcon_news_of(vcon, console) & TELL_SIZE;
}

void vcon_resize(struct vcon *vcon, uint16_t columns, uint16_t rows)
{
	pthread_mutex_lock(&vcon->lock);
	bool changed = columns != vcon->columns || rows != vcon->rows;
	vcon->columns = columns;
	vcon->rows = rows;
	if (changed)
		vcon_renew_size(vcon);
	pthread_mutex_unlock(&vcon->lock);
	if (!changed)
		return;
	tell_soon(vcon);
	virtio_config_changed(&vcon->dev);
}

void vcon_set_host_open(struct vcon *vcon, unsigned int number, bool open)
{
	struct vcon_port *port = &vcon->port[number];

	port->cut = true;
	pthread_mutex_lock(&vcon->lock);
	if (open)
		port->count = 0;
	if (port->ready && port->host_open != open)
		vcon_tell_open(port, open);
	port->host_open = open;
	pthread_mutex_unlock(&vcon->lock);
	tell_soon(vcon);
}

void vcon_hold(struct vcon *vcon, bool held)
{
	const struct virtio_host *host = vcon->dev.host;

	atomic_store(&vcon->held, held);
	for (unsigned int i = 0; i < vcon->dev.queues && !held; i++)
		host->defer(host->ctx, i);
}

static const struct virtio_device_ops vcon_ops = {
	.id = VIRTIO_ID_CONSOLE,
	.name = "console",
	.reset = vcon_reset,
	.work = vcon_work,
	.config_size = sizeof(struct virtio_console_config),
	.config_read = vcon_config_read,
	.save = vcon_save,
	.restore = vcon_restore,
};

void vcon_init(struct vcon *vcon, const struct vcon_config *config, const struct virtio_host *host)
{
	struct virtio_device *dev = &vcon->dev;

	memset(vcon, 0, sizeof(*vcon));
	vcon->host = config->host;
	vcon->ports = config->names + 1;
	vcon->port[0].present = vcon->port[0].host_open = config->console;
	for (unsigned int i = 1; i < vcon->ports; i++) {
		vcon->port[i].present = true;
		strncpy(vcon->port[i].name, config->name[i - 1], VCON_NAME_MAX);
	}
	dev->ops = &vcon_ops;
	dev->host = host;
	dev->features_offered = VIRTIO_FEATURES | 1ULL << VIRTIO_RING_F_INDIRECT_DESC;
	if (config->console)
		dev->features_offered |= 1ULL << VIRTIO_CONSOLE_F_SIZE;
	dev->queues = 2;
	/* Only where it is needed: README.md. */
	if (config->names) {
		dev->features_offered |= 1ULL << VIRTIO_CONSOLE_F_MULTIPORT;
		dev->queues = 2 * vcon->ports + 2;
	}
	for (unsigned int i = 0; i < dev->queues; i++)
		dev->queue[i].size_max = VCON_QUEUE_SIZE;
	pthread_mutex_init(&vcon->lock, NULL);
}

void vcon_release(struct vcon *vcon)
{
	if (vcon->dev.ops)
		pthread_mutex_destroy(&vcon->lock);
	vcon->dev.ops = NULL;
}
