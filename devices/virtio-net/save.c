// SPDX-License-Identifier: Apache-2.0
/*
 * A network in a snapshot: the driver's place in the rings, and the address and the MTU that it has read. The backend is
 * not saved: where the guest is restored it has a new one, and the link seems to be down for a moment, so that the guest's
 * programs ask for their addresses again.
 */
#include <errno.h>
#include <string.h>

#include "devices/virtio-net/net.h"
#include "devices/virtio/core.h"
#include "vmm/lib/clock.h"

/* Long enough for a kernel to tell its programs that the link was down, before it is up again. */
#define DOWN_NS (200 * NS_PER_MS)

/* A frame that waits for the backend is taken again. A network of several pairs is not saved. */
bool net_settled(struct virtio_device *dev)
{
	struct net_pair *pair = &net_of(dev)->pair[0];

	if (pair->tx.busy)
		virtq_unpop(&dev->queue[NET_TRANSMIT], 1);
	pair->tx.busy = false;
	return true;
}

void net_save(struct virtio_device *dev, struct record *record)
{
	const struct net *net = net_of(dev);

	record_bytes(record, net->config.mac, sizeof(net->config.mac));
	record_u16(record, net->config.mtu);
}

int net_restore(struct virtio_device *dev, struct record_in *in)
{
	struct net *net = net_of(dev);
	struct net_config *config = &net->config;
	uint8_t mac[sizeof(config->mac)];

	/* The driver has read both, and does so only once. */
	record_take_bytes(in, mac, sizeof(mac));
	if (record_take_u16(in) != config->mtu ||
	    (config->mac_given && memcmp(mac, config->mac, sizeof(mac)) != 0))
		return -ESTALE;
	memcpy(config->mac, mac, sizeof(mac));
	if (!virtio_queues_hold(dev, NET_RECEIVE, 0) || !virtio_queues_hold(dev, NET_TRANSMIT, 0))
		return -EINVAL;
	if (!(dev->features >> VIRTIO_NET_F_STATUS & 1))
		return 0;
	atomic_store(&net->replug, NET_REPLUG_DOWN);
	atomic_fetch_add(&dev->config_generation, 1);
	virtio_config_changed(dev);
	return 0;
}

void net_status_read(struct net *net)
{
	const struct virtio_host *host = net->dev.host;
	int down = NET_REPLUG_DOWN;

	if (atomic_compare_exchange_strong(&net->replug, &down, NET_REPLUG_SEEN))
		host->defer(host->ctx, NET_RECEIVE);
}

void net_replug(struct net *net)
{
	const struct virtio_host *host = net->dev.host;
	uint64_t now = clock_ns();
	int seen = NET_REPLUG_SEEN;

	if (atomic_compare_exchange_strong(&net->replug, &seen, NET_REPLUG_WAITS)) {
		net->replug_at = now + DOWN_NS;
		host->defer_until(host->ctx, NET_RECEIVE, net->replug_at);
	}
	if (atomic_load(&net->replug) != NET_REPLUG_WAITS || now < net->replug_at)
		return;
	atomic_store(&net->replug, NET_REPLUG_NONE);
	atomic_fetch_add(&net->dev.config_generation, 1);
	virtio_config_changed(&net->dev);
}
