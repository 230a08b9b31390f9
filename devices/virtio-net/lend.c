// SPDX-License-Identifier: Apache-2.0
/* The queues in the hands of the host's kernel: vhost-net. */
#include <errno.h>
#include <linux/vhost.h>
#include <string.h>

#include "devices/virtio-net/net.h"
#include "devices/virtio/core.h"
#include "vmm/lib/wake.h"

/* Returns whether the kernel is to serve the queues now. While the link is down, the device drops frames itself. */
static bool wanted(struct net *net, unsigned int pair)
{
	return pair < atomic_load(&net->pairs) && !net->pair[pair].vhost_failed && net_is_up(net) &&
	       !atomic_load(&net->held) && net->config.backend[pair]->fd >= 0 &&
	       net_queue(net, pair, NET_RECEIVE)->ready &&
	       net_queue(net, pair, NET_TRANSMIT)->ready;
}

static int connect_backend(const struct vhost *vhost, int fd)
{
	int error = 0;

	for (unsigned int i = 0; i < NET_QUEUES; i++) {
		struct vhost_vring_file backend = {i, fd};
		int failed = vhost->control(vhost, VHOST_NET_SET_BACKEND, &backend);
		error = error ? error : failed;
	}
	return error;
}

void net_take_back(struct net *net, unsigned int pair)
{
	struct vhost *vhost = net->config.vhost[pair];

	if (!vhost || !vhost->running)
		return;
	/* The kernel finishes the chains that it took. */
	connect_backend(vhost, -1);
	vhost_stop(vhost, &net->dev, pair * NET_QUEUES, NET_QUEUES);
	/* What the kernel said of these rings is not about the next ones. */
	wake_take(vhost->broken);
	net->config.lend(net->config.ctx, pair, false);
}

static int lend(struct net *net, unsigned int pair)
{
	struct vhost *vhost = net->config.vhost[pair];
	struct net_pair *mine = &net->pair[pair];

	/* The kernel begins with the frame that waits for the backend, and without one that waits for room. */
	if (mine->tx.busy)
		virtq_unpop(net_queue(net, pair, NET_TRANSMIT), 1);
	mine->tx.busy = false;
	if (mine->rx.len > 0)
		atomic_fetch_add(&net_counters(net, pair, NET_RECEIVE)->dropped, 1);
	mine->rx.len = 0;

	int error = vhost_start(vhost, &net->dev, pair * NET_QUEUES, NET_QUEUES);
	if (error)
		return error;
	net->config.lend(net->config.ctx, pair, true);
	error = connect_backend(vhost, net->config.backend[pair]->fd);
	if (error)
		net_take_back(net, pair);
	else
		vhost_kick(&net->dev, pair * NET_QUEUES, NET_QUEUES);
	return error;
}

bool net_lend(struct net *net, unsigned int pair)
{
	const struct virtio_host *host = net->dev.host;
	struct vhost *vhost = net->config.vhost[pair];

	if (!vhost)
		return false;
	if (!vhost->running && wanted(net, pair)) {
		int error = lend(net, pair);
		/* Frames pass all the same, through this process. */
		net->pair[pair].vhost_failed = error != 0;
		if (error)
			log_guest(&net->dev.core->log,
				  "virtio-net: the host's kernel cannot serve the queues: %s; ebb "
				  "does until the device is reset",
				  strerror(-error));
	} else if (vhost->running) {
		for (unsigned int i = 0; i < NET_QUEUES; i++)
			host->lend(host->ctx, pair * NET_QUEUES + i, true);
	}
	/* Last: look() first changes what is wanted, then wakes the worker. */
	if (vhost->running && !wanted(net, pair))
		net_take_back(net, pair);
	return vhost->running;
}
