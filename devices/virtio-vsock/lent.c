// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio-vsock/lent.h"

#include <endian.h>
#include <errno.h>
#include <linux/vhost.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_vsock.h>
#include <string.h>

#include "devices/virtio-vsock/vsock.h"
#include "vmm/lib/wake.h"

/* The event queue stays here, with nothing to tell: only a restored guest is told something. */
#define LENT_QUEUES VSOCK_EVENT

/* Features of newer headers (§5.10.3). The kernel knows the second by itself, and serves streams without a word of it. */
#define F_STREAM    0
#define F_SEQPACKET 1

static struct vsock_lent *lent_of(struct virtio_device *dev)
{
	return (struct vsock_lent *)((char *)dev - offsetof(struct vsock_lent, dev));
}

/* Returns whether the kernel is to serve the queues now. */
static bool wanted(const struct vsock_lent *lent)
{
	return !lent->failed && !atomic_load(&lent->held) && lent->dev.queue[VSOCK_RECEIVE].ready &&
	       lent->dev.queue[VSOCK_TRANSMIT].ready;
}

static int set_running(const struct vhost *vhost, int running)
{
	return vhost->control(vhost, VHOST_VSOCK_SET_RUNNING, &running);
}

static void take_back(struct vsock_lent *lent)
{
	struct vhost *vhost = lent->vhost;

	if (!vhost->running)
		return;
	/* The kernel finishes the chain that it took. */
	set_running(vhost, 0);
	vhost_stop(vhost, &lent->dev, 0, LENT_QUEUES);
	/* What the kernel said of these rings is not about the next ones. */
	wake_take(vhost->broken);
}

static void lend(struct vsock_lent *lent)
{
	int error = vhost_start(lent->vhost, &lent->dev, 0, LENT_QUEUES);

	if (!error) {
		error = set_running(lent->vhost, 1);
		if (error)
			take_back(lent);
		else
			vhost_kick(&lent->dev, 0, LENT_QUEUES);
	}
	lent->failed = error != 0;
	if (error)
		log_guest(&lent->log,
			  "virtio-vsock: the host's kernel cannot serve the guest's sockets: %s; "
			  "they rest until the device is reset",
			  strerror(-error));
}

static int lent_work(struct virtio_device *dev, unsigned int queue)
{
	struct vsock_lent *lent = lent_of(dev);
	(void)queue;

	if (!lent->vhost->running && wanted(lent))
		lend(lent);
	else if (lent->vhost->running)
		for (unsigned int i = 0; i < LENT_QUEUES; i++)
			dev->host->lend(dev->host->ctx, i, true);
	/* Last: vsock_lent_hold() first changes what is wanted, then wakes the worker. */
	if (lent->vhost->running && !wanted(lent))
		take_back(lent);
	return 0;
}

static bool lent_drain(struct virtio_device *dev, unsigned int queue, uint64_t deadline)
{
	(void)queue, (void)deadline;
	take_back(lent_of(dev));
	return true;
}

static void lent_reset(struct virtio_device *dev)
{
	lent_of(dev)->failed = false;
}

static void lent_config_read(struct virtio_device *dev, size_t offset, void *data, size_t len)
{
	const struct virtio_vsock_config registers = {htole64(lent_of(dev)->cid)};

	memcpy(data, (const uint8_t *)&registers + offset, len);
}

static const struct virtio_device_ops lent_ops = {
	.id = VIRTIO_ID_VSOCK,
	.name = "vsock",
	.drain = lent_drain,
	.reset = lent_reset,
	.work = lent_work,
	.config_size = sizeof(struct virtio_vsock_config),
	.config_read = lent_config_read,
};

void vsock_lent_hold(struct vsock_lent *lent, bool held)
{
	const struct virtio_host *host = lent->dev.host;

	if (atomic_exchange(&lent->held, held) == held)
		return;
	/* Has the worker look at the queues, even if they are lent. */
	for (unsigned int i = 0; i < LENT_QUEUES; i++) {
		host->lend(host->ctx, i, false);
		host->defer(host->ctx, i);
	}
}

static int take_cid(const struct vhost *vhost, uint64_t cid)
{
	int error = vhost->control(vhost, VHOST_VSOCK_SET_GUEST_CID, &cid);

	if (error == -EADDRINUSE)
		log_error("another guest of this host has the CID %llu, or the host itself; choose "
			  "another for --vsock vhost=1,cid=N",
			  (unsigned long long)cid);
	else if (error)
		log_error("the host's kernel refuses the CID %llu: %s", (unsigned long long)cid,
			  strerror(-error));
	return error;
}

int vsock_lent_init(struct vsock_lent *lent, struct vhost *vhost, uint64_t cid,
		    const struct virtio_host *host)
{
	const uint64_t served =
		VIRTIO_FEATURES | 1ULL << VIRTIO_RING_F_INDIRECT_DESC | 1ULL << F_SEQPACKET;

	lent->vhost = vhost;
	lent->cid = cid;
	lent->dev.ops = &lent_ops;
	lent->dev.host = host;
	lent->dev.save_advice = "one with a path can (--vsock PATH)";
	lent->dev.features_offered = (served & vhost->features) | 1ULL << F_STREAM;
	lent->dev.queues = VSOCK_QUEUES;
	for (unsigned int i = 0; i < VSOCK_QUEUES; i++)
		lent->dev.queue[i].size_max = VSOCK_QUEUE_SIZE;
	return take_cid(vhost, cid);
}
