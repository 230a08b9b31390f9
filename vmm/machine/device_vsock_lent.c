// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/device_vsock_lent.h"

#include <string.h>

#include "devices/virtio-vsock/lent.h"
#include "vmm/lib/log.h"
#include "vmm/lib/wake.h"

struct lent_device {
	struct device device;
	struct vhost vhost;
	struct loop_source broken; /* on the worker's loop */
	struct vsock_lent vsock;
};

static unsigned int lent_count(const struct vm_config *config)
{
	return config->vsock.wanted && config->vsock.vhost ? 1 : 0;
}

/* On the worker: the kernel cannot use a ring. */
static void broken_rang(void *ctx)
{
	struct lent_device *sockets = ctx;

	if (wake_take(sockets->broken.fd))
		virtio_queues_broken(&sockets->vsock.dev);
}

/* The kernel starts to serve the queues only when the guest's driver has set them up. */
static int lent_init(struct device *device, const struct vm_config *config)
{
	struct lent_device *sockets = (struct lent_device *)device;

	device->virtio = &sockets->vsock.dev;
	int error = vhost_open(&sockets->vhost, "/dev/vhost-vsock", VSOCK_VHOST_NEEDS);
	if (error)
		return error;
	sockets->vhost.lasting = true;
	error = vsock_lent_init(&sockets->vsock, &sockets->vhost, config->vsock.cid,
				&device->slot.host);
	if (error)
		return error;
	sockets->broken = (struct loop_source){sockets->vhost.broken, broken_rang, sockets};
	error = loop_add(&device->slot.worker.loop, &sockets->broken);
	if (error)
		log_error("cannot wait for the guest's sockets: %s", strerror(-error));
	return error;
}

static void lent_release(struct device *device)
{
	vhost_release(&((struct lent_device *)device)->vhost);
}

static void lent_hold(struct device *device, bool held)
{
	vsock_lent_hold(&((struct lent_device *)device)->vsock, held);
}

const struct device_kind device_vsock_lent = {
	.name = "vsock",
	.size = sizeof(struct lent_device),
	.count = lent_count,
	.init = lent_init,
	.release = lent_release,
	.hold = lent_hold,
};
