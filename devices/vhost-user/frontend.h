/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A front end of vhost-user: hands the queues of one device to a backend, another process, at the
 * other end of a Unix socket; and takes them back. README.md beside this file tells the whole.
 *
 * Every function talks to the backend, waits for its replies until @deadline (clock_ns()), and
 * returns 0, or -ETIMEDOUT, -EPIPE if the backend has ended, -EPROTO if it replies nonsense,
 * -ENOTSUP if it cannot do what is needed, -EREMOTEIO if it refuses, or another -errno. After an
 * error the connection is of no use: vhost_user_close().
 *
 * Thread: any, one at a time.
 */
#ifndef EBB_VHOST_USER_FRONTEND_H
#define EBB_VHOST_USER_FRONTEND_H

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "devices/vhost-user/message.h"
#include "devices/virtio/queue.h"

struct vhost_user {
	int socket;	   /* -1: no backend */
	uint64_t features; /* the device's, as the backend has them; after vhost_user_open() */
	bool has_config;   /* it can tell the configuration space */
};

/* A queue to hand over. */
struct vhost_user_queue {
	unsigned int index;
	const struct virtq *q; /* ready; the backend begins at its place in the rings */
	int kick;	       /* eventfd for the backend: the driver has added chains */
	int call;	       /* eventfd from the backend: it has returned chains */
};

/*
 * What every device offers its driver before its backend is known, and so every backend must have. No event indices: then each
 * chain that is added or returned makes the device look (inflight.h).
 */
#define VHOST_USER_FEATURES ((1ULL << VIRTIO_F_VERSION_1) | (1ULL << VIRTIO_RING_F_INDIRECT_DESC))

/*
 * Returns 0 if there is a backend at @socket that a device which awaits its first can use; the socket stays as it is: for a
 * process that starts one for another. Returns -ENOTSUP if it lacks a feature, -EINTR if a signal waits that asks for
 * the end (end_signal_waits()), or -errno.
 */
int vhost_user_probe(int socket, uint64_t deadline);

/* Begins a connection over @socket, which is taken over also after an error. */
int vhost_user_open(struct vhost_user *backend, int socket, uint64_t deadline);
void vhost_user_close(struct vhost_user *backend);

/* Copies the first @len bytes (VHOST_USER_CONFIG_MAX at most) of the device's configuration space. */
int vhost_user_get_config(const struct vhost_user *backend, void *data, uint32_t len,
			  uint64_t deadline);

/* Sets the driver's @features, which the backend must have, and gives the backend access to all of @ram. */
int vhost_user_set_up(const struct vhost_user *backend, uint64_t features, const struct ram *ram,
		      uint64_t deadline);
int vhost_user_start(const struct vhost_user *backend, const struct vhost_user_queue *queue,
		     uint64_t deadline);
/* When it has returned 0 the backend has finished all chains of @queue, and uses it no more. */
int vhost_user_stop(const struct vhost_user *backend, unsigned int queue, uint64_t deadline);

/* Checks that the backend is there, and says nothing that it was not asked. Does not wait. */
int vhost_user_check(const struct vhost_user *backend);

#endif
