/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of this folder. */
#ifndef EBB_VIRTIO_CONSOLE_INTERNAL_H
#define EBB_VIRTIO_CONSOLE_INTERNAL_H

#include <linux/virtio_console.h>

#include "devices/virtio-console/vcon.h"

/* Chains in one turn, which a reset waits for; and bytes of those that the guest sends. */
#define VCON_TURN	16
#define VCON_TURN_BYTES 65536U

/* Control messages for the driver that wait: bits of vcon_port.tell. That of a close comes first, the others in this order. */
#define TELL_ADD     (1U << 0)
#define TELL_CONSOLE (1U << 1)
#define TELL_NAME    (1U << 2)
#define TELL_SIZE    (1U << 3)
#define TELL_OPEN    (1U << 4)
#define TELL_CLOSE   (1U << 5) /* when the driver has what the program left behind */
#define TELL_KINDS   6

static inline struct vcon *vcon_of(struct virtio_device *dev)
{
	return (struct vcon *)((char *)dev - offsetof(struct vcon, dev));
}

static inline bool vcon_has(const struct vcon *vcon, unsigned int feature)
{
	return vcon->dev.features >> feature & 1;
}

/* Returns the first of a port's two queues. */
static inline unsigned int vcon_queue_of(unsigned int port)
{
	return port ? 2 * port + 2 : 0;
}

/* port.c: work of a port's queues, as virtio_device_ops.work. */
int vcon_to_guest(struct vcon *vcon, unsigned int port, struct virtq *q);
int vcon_from_guest(struct vcon *vcon, unsigned int port, struct virtq *q);

/* On the worker, without the lock: asks the host for input that was not taken, if it would be now. */
void vcon_ask_for_input(struct vcon *vcon, unsigned int port);

/* control.c: likewise of the control queues; and what the driver has to be told of a port that it knows. With the lock. */
int vcon_tell(struct vcon *vcon, struct virtq *q);
int vcon_hear(struct vcon *vcon, struct virtq *q);
uint8_t vcon_news_of(const struct vcon *vcon, const struct vcon_port *port);
void vcon_tell_open(struct vcon_port *port, bool open);

/* vcon.c: has the driver look at the size anew. With the lock. */
void vcon_renew_size(struct vcon *vcon);

/* save.c: virtio_device_ops of the same names. */
void vcon_save(struct virtio_device *dev, struct record *record);
int vcon_restore(struct virtio_device *dev, struct record_in *in);

#endif
