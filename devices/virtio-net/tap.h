/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tap interface of the host: frames with their header, which the kernel checks and understands (checksums,
 * segmentation).
 *
 * Thread: the worker, but for open and release: main.
 * Source: the kernel's Documentation/networking/tuntap.rst and drivers/net/tun.c.
 */
#ifndef EBB_VIRTIO_NET_TAP_H
#define EBB_VIRTIO_NET_TAP_H

#include <net/if.h>

#include "devices/virtio-net/backend.h"

struct tap {
	struct net_backend backend;
	char name[IFNAMSIZ];
	bool detached; /* one of several queues, to which the interface gives no frames */
	/* One frame. */
	struct virtio_net_hdr_v1 header;
	uint8_t in[NET_FRAME_MAX];
};

/*
 * Opens a queue of the interface @name, and makes it if it does not exist; "": the host chooses a name. If @fd
 * is not -1, takes over that descriptor of an interface instead. @several: the interface has more than one queue.
 * Returns 0, or -errno after an error message.
 */
int tap_open(struct tap *tap, const char *name, int fd, bool several);
/*
 * Opens one more queue, @taps[@i], of the same interface as those before it, in the same way, and detaches it. A
 * descriptor may come attached or not, but must be no copy of another's.
 */
int tap_open_more(struct tap *taps, unsigned int i, int fd);
/* Accepts a zeroed struct. */
void tap_release(struct tap *tap);

#endif
