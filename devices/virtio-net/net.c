// SPDX-License-Identifier: Apache-2.0
/* The device's features, configuration space and link; transmit.c, receive.c and control.c serve its queues. */
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

	for (unsigned int i = 0; i < net->dev.queues; i++) {
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
	if (net->config.vhost[0])
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
	for (unsigned int i = 0; i < net->config.pairs; i++)
		net->pair[i].rx.len = 0;
	net_set_carrier(net, false);
	if (net->config.lost)
		net->config.lost(net->config.ctx);
}

void net_ready(struct net *net, unsigned int pair)
{
	struct net_backend *backend = net->config.backend[pair];

	if (backend->fd >= 0 && backend->ops->flush)
		backend->ops->flush(backend);
	virtio_core_work(net->dev.core, pair * NET_QUEUES + NET_RECEIVE);
	virtio_core_work(net->dev.core, pair * NET_QUEUES + NET_TRANSMIT);
}

void net_sum(const struct net *net, enum net_queue direction, struct net_counters *sum)
{
	*sum = (struct net_counters){0};
	for (unsigned int i = 0; i < net->config.pairs; i++) {
		const struct net_counters *of = &net->counters[i * NET_QUEUES + direction];
		sum->frames += of->frames;
		sum->bytes += of->bytes;
		sum->dropped += of->dropped;
		sum->refused += of->refused;
	}
}

/* --- the device ------------------------------------------------------------------------------ */

static int net_activate(struct virtio_device *dev)
{
	/* Several backends are of one interface. */
	struct net_backend *backend = net_of(dev)->config.backend[0];

	if (backend->ops->offload)
		backend->ops->offload(backend, dev->features);
	return 0;
}

/* The backend keeps a half-sent frame: the next one must follow it. */
static void net_reset(struct virtio_device *dev)
{
	struct net *net = net_of(dev);

	/* Whatever the host says: the interface may be gone. */
	net_use_pairs(net, 1);
	atomic_store(&net->pairs, 1);
	for (unsigned int i = 0; i < net->config.pairs; i++) {
		net->pair[i].tx.busy = false;
		net->pair[i].rx.len = 0;
		net->pair[i].vhost_failed = false;
	}
	atomic_store(&net->replug, NET_REPLUG_NONE);
}

/* Without vhost, no chain is in flight between two turns. */
static bool net_drain(struct virtio_device *dev, unsigned int queue, uint64_t deadline)
{
	struct net *net = net_of(dev);

	(void)deadline;
	if (queue / NET_QUEUES < net->config.pairs)
		net_take_back(net, queue / NET_QUEUES);
	return true;
}

static int net_work(struct virtio_device *dev, unsigned int queue)
{
	struct net *net = net_of(dev);
	/* Only a driver with VIRTIO_NET_F_MQ looks for the control queue behind all of them. */
	unsigned int pairs = dev->features & FEATURE(VIRTIO_NET_F_MQ) ? net->config.pairs : 1;
	unsigned int pair = queue / NET_QUEUES;

	net_replug(net);
	if (pair < pairs && net_lend(net, pair))
		return 0;
	if (atomic_load(&net->held) || queue > pairs * NET_QUEUES)
		return 0;
	if (queue == pairs * NET_QUEUES)
		return net_control(net, &dev->queue[queue]);
	return queue % NET_QUEUES == NET_RECEIVE ? net_receive(net, pair) : net_transmit(net, pair);
}

static void net_config_read(struct virtio_device *dev, size_t offset, void *data, size_t len)
{
	const size_t status = offsetof(struct virtio_net_config, status);
	struct net *net = net_of(dev);
	bool up = net_is_up(net) && atomic_load(&net->replug) == NET_REPLUG_NONE;
	struct virtio_net_config registers = {
		.status = htole16(up ? VIRTIO_NET_S_LINK_UP : 0),
		.max_virtqueue_pairs = htole16(net->config.pairs > 1 ? net->config.pairs : 0),
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
						    config->backend[0]->features,
				.queues = NET_QUEUES,
				.save_advice = config->save_advice,
			},
	};
	if (config->mtu)
		net->dev.features_offered |= FEATURE(VIRTIO_NET_F_MTU);
	if (config->pairs > 1) {
		net->dev.features_offered |=
			FEATURE(VIRTIO_NET_F_MQ) | FEATURE(VIRTIO_NET_F_CTRL_VQ);
		net->dev.queues = config->pairs * NET_QUEUES + 1;
	}
	/* Features that whoever serves the rings must know. */
	if (config->vhost[0])
		net->dev.features_offered &= ~SERVED | config->vhost[0]->features;
	for (unsigned int i = 0; i < net->dev.queues; i++)
		net->dev.queue[i].size_max = NET_QUEUE_SIZE;
	atomic_init(&net->pairs, 1);
	atomic_init(&net->link, true);
	atomic_init(&net->carrier, config->backend[0]->fd >= 0);
}
