// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/device_vsock.h"

#include <errno.h>
#include <string.h>

#include "devices/virtio-vsock/vsock.h"
#include "vmm/lib/log.h"
#include "vmm/vsock/dialer.h"

struct socket_device {
	struct device device;
	struct dialer dialer;
	struct loop_source answers; /* of the dialer, on the worker's loop */
	struct log_limit log;
	struct vsock vsock;
};

static unsigned int sockets_count(const struct vm_config *config)
{
	return config->vsock.wanted && !config->vsock.vhost ? 1 : 0;
}

/* On the worker. */
static int dial(void *ctx, uint64_t call, uint32_t port)
{
	struct socket_device *sockets = ctx;
	return dialer_ask(&sockets->dialer, call, port);
}

/* On the worker. */
static void answered(void *ctx)
{
	struct socket_device *sockets = ctx;
	uint64_t call;
	int fd;
	int error = dialer_take(&sockets->dialer, &call, &fd);

	if (!error)
		vsock_dialled(&sockets->vsock, call, fd);
	if (error != -EPIPE)
		return;
	loop_remove(&sockets->device.slot.worker.loop, &sockets->answers);
	log_guest(&sockets->log, "the guest cannot connect to the host any more: the process that "
				 "does so for it has ended; restart the guest");
}

static int sockets_init(struct device *device, const struct vm_config *config)
{
	struct socket_device *sockets = (struct socket_device *)device;
	struct loop *loop = &device->slot.worker.loop;

	device->virtio = &sockets->vsock.dev;
	sockets->dialer.child = CHILD_NONE;
	int listener = dialer_start(&sockets->dialer, config->vsock.path);
	if (listener < 0)
		return listener;
	const struct vsock_config vsock = {.cid = config->vsock.cid,
					   .loop = loop,
					   .listener = listener,
					   .dial = dial,
					   .ctx = sockets};
	int error = vsock_init(&sockets->vsock, &vsock, &device->slot.host);
	sockets->answers = (struct loop_source){sockets->dialer.child.control, answered, sockets};
	if (!error)
		error = loop_add(loop, &sockets->answers);
	if (error)
		log_error("cannot wait for the guest's sockets: %s", strerror(-error));
	return error;
}

static void sockets_release(struct device *device)
{
	struct socket_device *sockets = (struct socket_device *)device;

	vsock_release(&sockets->vsock);
	dialer_stop(&sockets->dialer);
}

static void sockets_hold(struct device *device, bool held)
{
	vsock_hold(&((struct socket_device *)device)->vsock, held);
}

static void sockets_summary(const struct device *device)
{
	const struct vsock_counters *counters =
		&((const struct socket_device *)device)->vsock.counters;

	log_info("vsock: %llu connections opened, %llu refused, %llu broken; %llu bytes to the "
		 "guest, %llu from it, %llu packets dropped",
		 atomic_load(&counters->opened), atomic_load(&counters->refused),
		 atomic_load(&counters->broken), atomic_load(&counters->to_guest),
		 atomic_load(&counters->from_guest), atomic_load(&counters->dropped));
}

const struct device_kind device_vsock = {
	.name = "vsock",
	.size = sizeof(struct socket_device),
	.count = sockets_count,
	.init = sockets_init,
	.release = sockets_release,
	.hold = sockets_hold,
	.summary = sockets_summary,
};
