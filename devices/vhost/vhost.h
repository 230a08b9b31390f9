/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queues of a virtio device that the host's kernel serves (vhost): a thread of the kernel's finds the
 * rings and buffers in guest RAM by a table of its regions, waits for the queues' doorbells, and
 * raises their interrupts. README.md beside this file tells the theory of operation.
 *
 * Thread: open and release on main; the rest with the lock of the device held.
 * Source: the kernel's include/uapi/linux/vhost.h and drivers/vhost/vhost.c.
 */
#ifndef EBB_VHOST_VHOST_H
#define EBB_VHOST_VHOST_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/virtio/device.h"

/* Owner: the device's creator. */
struct vhost {
	int fd;		   /* of a file such as /dev/vhost-net, or -1 */
	int broken;	   /* an eventfd that rings if the kernel cannot use a ring */
	uint64_t features; /* that the kernel knows */
	bool owned;	   /* the kernel has a thread, and what was set */
	bool running;	   /* queues are lent */
	bool lasting; /* the kernel keeps its thread: it has no VHOST_RESET_OWNER for this file */
	/* As ioctl(2); a hook for tests. Returns 0 or -errno. */
	int (*control)(const struct vhost *vhost, unsigned long request, void *argument);
};

/*
 * Opens @path, a file /dev/vhost-NAME, and checks that the kernel knows @needs, feature bits. Returns 0, or -errno after an error
 * message that begins with @path. Nothing else is set up before vhost_start().
 */
int vhost_open(struct vhost *vhost, const char *path, uint64_t needs);
/* The rest of vhost_open(), for a file that is open. */
int vhost_init(struct vhost *vhost, const char *path, uint64_t needs);
/* The queues have been taken back. Accepts a zeroed struct. */
void vhost_release(struct vhost *vhost);

/*
 * Lends @queues of @dev from @first on, which are ready, to the kernel, which counts them from 0, with the negotiated ones of
 * @vhost->features. The kernel begins when the caller has connected it to a backend, and has called
 * vhost_kick(). Returns 0, or -errno: then no queue is lent.
 */
int vhost_start(struct vhost *vhost, struct virtio_device *dev, unsigned int first,
		unsigned int queues);
void vhost_kick(const struct virtio_device *dev, unsigned int first, unsigned int queues);
/*
 * Takes the queues back, when the caller has disconnected the backend: the kernel has returned all chains
 * that it took. It lets go of doorbells and interrupts; and unless @vhost->lasting, its thread ends, and it forgets all settings.
 */
void vhost_stop(struct vhost *vhost, struct virtio_device *dev, unsigned int first,
		unsigned int queues);

#endif
