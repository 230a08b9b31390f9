// SPDX-License-Identifier: Apache-2.0
/* The device's features, configuration space and link; transmit.c and receive.c serve its queues. */
#include "devices/virtio-net/net.h"

#include <endian.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <string.h>

#include "devices/virtio/core.h"

#define FEATURE(bit) (1ULL << (bit))
#define SERVED                                                                                     \
	(VIRTIO_FEATURES | FEATURE(VIRTIO_RING_F_INDIRECT_DESC) | FEATURE(VIRTIO_NET_F_MRG_RXBUF))

/* --- the link -------------------------------------------------------------------------------- */

bool net_is_up(const struct net *net)
{
	return atomic_load(&net->carrier) && atomic_load(&net->link);
}

/* Has the worker look at the queues, even if they are lent. */
static void look(struct net *net)
{
	const struct virtio_host *host = net->dev.host;

	for (unsigned int i = 0; i < NET_QUEUES; i++) {
		host->lend(host->ctx, i, false);
		host->defer(host->ctx, i);
	}
}

static void set(struct net *net, atomic_bool *what, bool value)
{
	if (atomic_exchange(what, value) == value)
		return;
	atomic_fetch_add(&net->dev.config_generation, 1);
	virtio_config_changed(&net->dev);
	if (net->config.vhost)
		look(net);
}

void net_set_carrier(struct net *net, bool on)
{
	set(net, &net->carrier, on);
}

void net_set_link(struct net *net, bool up)
{
	set(net, &net->link, up);
}

void net_hold(struct net *net, bool held)
{
	if (atomic_exchange(&net->held, held) != held)
		look(net);
}

void net_lost(struct net *net)
{
	net->rx.len = 0;
	net_set_carrier(net, false);
	if (net->config.lost)
		net->config.lost(net->config.ctx);
}

void net_ready(struct net *net)
{
	struct net_backend *backend = net->config.backend;

	if (backend->fd >= 0 && backend->ops->flush)
		backend->ops->flush(backend);
	virtio_core_work(net->dev.core, NET_RECEIVE);
	virtio_core_work(net->dev.core, NET_TRANSMIT);
}

/* --- the device ------------------------------------------------------------------------------ */

static int net_activate(struct virtio_device *dev)
{
	struct net_backend *backend = net_of(dev)->config.backend;

	if (backend->ops->offload)
		backend->ops->offload(backend, dev->features);
	return 0;
}

/* The backend keeps a half-sent frame: the next one must follow it. */
static void net_reset(struct virtio_device *dev)
{
	struct net *net = net_of(dev);

	net->tx.busy = false;
	net->rx.len = 0;
	net->vhost_failed = false;
	atomic_store(&net->replug, NET_REPLUG_NONE);
}

/* Without vhost, no chain is in flight between two turns. */
static bool net_drain(struct virtio_device *dev, unsigned int queue, uint64_t deadline)
{
	(void)queue, (void)deadline;
	net_take_back(net_of(dev));
	return true;
}

static int net_work(struct virtio_device *dev, unsigned int queue)
{
	struct net *net = net_of(dev);
	struct virtq *q = &dev->queue[queue];

	net_replug(net);
	if (net_lend(net) || atomic_load(&net->held))
		return 0;
	return queue == NET_RECEIVE ? net_receive(net, q) : net_transmit(net, q);
}

static void net_config_read(struct virtio_device *dev, size_t offset, void *data, size_t len)
{
	const size_t status = offsetof(struct virtio_net_config, status);
	struct net *net = net_of(dev);
	bool up = net_is_up(net) && atomic_load(&net->replug) == NET_REPLUG_NONE;
	struct virtio_net_config registers = {
		.status = htole16(up ? VIRTIO_NET_S_LINK_UP : 0),
		.mtu = htole16(net->config.mtu),
	};

	memcpy(registers.mac, net->config.mac, sizeof(registers.mac));
	memcpy(data, (const uint8_t *)&registers + offset, len);
	if (offset <= status && offset + len > status)
		net_status_read(net);
}

static const struct virtio_device_ops net_ops = {
	.id = VIRTIO_ID_NET,
	.name = "net",
	.paced = true,
	.activate = net_activate,
	.drain = net_drain,
	.reset = net_reset,
	.work = net_work,
	/* The fields after the MTU belong to features that are not offered. */
	.config_size = offsetof(struct virtio_net_config, mtu) + sizeof(uint16_t),
	.config_read = net_config_read,
	.settled = net_settled,
	.save = net_save,
	.restore = net_restore,
};

void net_init(struct net *net, const struct net_config *config, const struct virtio_host *host)
{
	*net = (struct net){
		.config = *config,
		.dev =
			{
				.ops = &net_ops,
				.host = host,
				.features_offered = SERVED | FEATURE(VIRTIO_NET_F_MAC) |
						    FEATURE(VIRTIO_NET_F_STATUS) |
						    config->backend->features,
				.queues = NET_QUEUES,
				.save_advice = config->save_advice,
			},
	};
	if (config->mtu)
		net->dev.features_offered |= FEATURE(VIRTIO_NET_F_MTU);
	/* Features that whoever serves the rings must know. */
	if (config->vhost)
		net->dev.features_offered &= ~SERVED | config->vhost->features;
	for (unsigned int i = 0; i < NET_QUEUES; i++)
		net->dev.queue[i].size_max = NET_QUEUE_SIZE;
	atomic_init(&net->link, true);
	atomic_init(&net->carrier, config->backend->fd >= 0);
}
