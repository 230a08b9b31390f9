/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio block device (virtio 1.2 §5.2), served by another process by vhost-user: for a disk that is
 * no raw file. The driver sees the same device as blk.h's; ebb itself reads and writes nothing of the
 * disk, but counts the requests as they pass.
 *
 * Threads: as vhost_user_device. Any thread may read the counters, and what never changes after open.
 */
#ifndef EBB_VIRTIO_BLK_SERVED_H
#define EBB_VIRTIO_BLK_SERVED_H

#include "devices/vhost-user/device.h"
#include "devices/virtio-blk/blk.h"

/* A request that has passed by. */
struct blk_passed {
	bool out; /* and did not come back yet */
	enum blk_kind kind;
	uint64_t status_gpa;
	uint64_t bytes;
	uint64_t started; /* ns */
};

/* Owner: its creator, who may use the counters. */
struct blk_served {
	struct vhost_user_device served;
	struct blk_counters counters[BLK_COUNTED];
	atomic_ullong unknown;		    /* as in struct blk */
	struct virtio_blk_config registers; /* the configuration space; constant after open */
	uint64_t size;			    /* bytes; constant after open */
	bool read_only;
	struct blk_passed *request; /* by the head, of VIRTIO_QUEUE_SIZE_MAX */
};

/* @host outlives the device. Returns 0, or -errno after an error message: release it in either case. */
int blk_served_init(struct blk_served *blk, const struct vhost_user_config *config,
		    const struct virtio_host *host);
void blk_served_release(struct blk_served *blk);

/*
 * Reads the configuration space from the backend, after vhost_user_device_open() and before the
 * device is plugged in. Waits until @deadline. Returns 0, or -errno: -EPROTO if what it says cannot be.
 */
int blk_served_configure(struct blk_served *blk, bool read_only, uint64_t deadline);

#endif
