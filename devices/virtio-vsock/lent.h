/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket device with its queues in the hands of the host's kernel (vhost-vsock): the guest's streams are AF_VSOCK sockets
 * of the host's programs, which reach the guest by its CID. README.md beside this file tells the theory of operation.
 *
 * Threads: init on main, with no other in the device; vsock_lent_hold() on any; the rest is the worker's, and at the
 * end main's.
 * Source: the kernel's drivers/vhost/vsock.c; virtio 1.2 §5.10.
 */
#ifndef EBB_VIRTIO_VSOCK_LENT_H
#define EBB_VIRTIO_VSOCK_LENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/vhost/vhost.h"
#include "devices/virtio/device.h"
#include "vmm/lib/log.h"

/* The rings are as virtio 1's. */
#define VSOCK_VHOST_NEEDS (1ULL << VIRTIO_F_VERSION_1)

/* Owner: its creator; all is internal. */
struct vsock_lent {
	struct virtio_device dev;
	struct vhost *vhost;
	uint64_t cid;
	atomic_bool held;
	bool failed; /* since the last reset. Thread: the worker, or the core while it keeps the worker out */
	struct log_limit log;
};

/*
 * Makes the device in a struct of zeros. @vhost is open, had VSOCK_VHOST_NEEDS, and outlives the device, as @host does. Takes
 * @cid for the guest, which is the guest's alone on this host until @vhost is released. Returns 0, or -errno after an error
 * message.
 */
int vsock_lent_init(struct vsock_lent *lent, struct vhost *vhost, uint64_t cid,
		    const struct virtio_host *host);

/* Leaves the guest's memory alone, or goes on. */
void vsock_lent_hold(struct vsock_lent *lent, bool held);

#endif
