/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio block device (virtio 1.2 §5.2): a disk on a raw file or a block device of the host.
 * README.md beside this file tells the theory of operation.
 *
 * Threads: init and release on the main thread, with no other in the device. The counters are for any
 * thread, as is what never changes after init; the rest is the worker's.
 */
#ifndef EBB_VIRTIO_BLK_H
#define EBB_VIRTIO_BLK_H

#include <linux/virtio_blk.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/virtio-blk/image.h"
#include "devices/virtio-blk/request.h"
#include "devices/virtio/device.h"

struct blk_config {
	const char *file;
	bool read_only;
	bool raw;	/* whatever format the file seems to have */
	const char *id; /* what the driver is told that the disk is called: 20 bytes at most */
};

/* Of one kind of request. Only ever grow; written by the worker, read by anyone. */
struct blk_counters {
	atomic_ullong operations; /* that were done */
	atomic_ullong bytes;	  /* moved, discarded or made zeros */
	atomic_ullong failed;	  /* the host could not do it */
	atomic_ullong refused;	  /* not on the disk, or not to be written */
	atomic_ullong ns;	  /* that those done and those failed took */
};

/* Owned by whoever made it; all but `counters` is the device's own business. */
struct blk {
	struct virtio_device dev;
	struct blk_counters counters[BLK_COUNTED];
	atomic_ullong ignored; /* bytes of discards that were not done: the host cannot */
	atomic_ullong unknown; /* requests of a kind that is not offered */

	const char *file;		    /* blk_config's */
	struct image image;		    /* ->size, ->read_only, ->block_size: for any thread */
	struct virtio_blk_config registers; /* the configuration space, little-endian; constant */
	char id[VIRTIO_BLK_ID_BYTES];	    /* zeros behind it */

	/* The worker's, and the core's with the worker kept out: the request in progress. */
	bool busy;
	struct virtq_chain chain;
	struct blk_request request;
	uint64_t done;	    /* bytes of it, or of its range */
	unsigned int range; /* of a discard or write-zeroes */
	uint64_t started;   /* ns */
	bool failure_logged, loss_logged;
};

/* @config->file and @host outlive the disk. Returns 0, or -errno having said what is wrong. */
int blk_init(struct blk *blk, const struct blk_config *config, const struct virtio_host *host);
/* Also of one that is all zero, or whose init failed. */
void blk_release(struct blk *blk);

/* Between blk.c and requests.c: virtio_device_ops.work, and what a reset makes of the request in progress. */
int blk_work(struct virtio_device *dev, unsigned int queue);
void blk_work_reset(struct blk *blk);

static inline struct blk *blk_of(struct virtio_device *dev)
{
	return (struct blk *)((char *)dev - offsetof(struct blk, dev));
}

#endif
