/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio block device (virtio 1.2 §5.2): a disk on a raw file or a block device of the host.
 * README.md beside this file tells the theory of operation.
 *
 * Threads: init and release on the main thread, with no other in the device. Any thread may read the
 * counters, and fields that never change after init; the rest is the worker's.
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

/* The most requests of a queue that the host does at the same time. */
#define BLK_DEPTH 64

struct blk_config {
	const char *file;
	const char *name; /* of the file, for users; NULL: @file */
	bool read_only;
	bool raw;	 /* take the file as it is, even if it has the mark of another format */
	bool direct;	 /* bypass the host's page cache, if its file system supports that */
	bool one_by_one; /* do one request at a time: use no io_uring */
	bool explain;	 /* warn if the host refuses io_uring */
	const char *id;	 /* the disk's name for the driver: at most 20 bytes */
};

/* Counters of one kind of request. They only grow; the worker writes them, any thread reads them. */
struct blk_counters {
	atomic_ullong operations; /* successful ones */
	atomic_ullong bytes;	  /* moved, discarded or made zeros */
	atomic_ullong failed;	  /* requests that failed on the host */
	atomic_ullong refused;	  /* requests beyond the disk, or writes to a read-only one */
	atomic_ullong ns;	  /* spent on requests that succeeded or failed */
};

#define BLK_QUEUES_MAX 1

struct ring;
struct blk_slot;

/* The requests of a queue. Thread: its worker, or the core while it keeps the worker out. */
struct blk_queue {
	struct blk *blk;
	struct virtq *virtq;

	/* The request that the worker itself does, piece by piece. */
	bool busy;
	struct virtq_chain chain;
	struct blk_request request;
	uint64_t done;	    /* bytes of the request, or of its range */
	unsigned int range; /* of a discard or write-zeroes */
	uint64_t started;   /* ns */

	/* Requests that the host does at the same time: flight.c. */
	struct ring *ring; /* NULL: no io_uring */
	struct blk_slot *slot;
	unsigned int flying;
	uint8_t free[BLK_DEPTH]; /* the free slots, the next to use last */
	bool measured;		 /* the file's length was checked in this turn */
};

/* Owner: its creator, who may use the counters; all else is internal. */
struct blk {
	struct virtio_device dev;
	struct blk_counters counters[BLK_COUNTED];
	atomic_ullong ignored; /* bytes of discards that the host cannot do */
	atomic_ullong unknown; /* requests of a kind that is not offered */

	const char *file;   /* blk_config's, by its name for users */
	struct image image; /* any thread may read ->size, ->read_only, ->block_size */
	struct virtio_blk_config registers; /* the configuration space, little-endian; constant */
	char id[VIRTIO_BLK_ID_BYTES];	    /* padded with zeros */

	atomic_bool failure_logged, loss_logged;
	struct blk_queue queue[BLK_QUEUES_MAX];
};

/*
 * @config->file, @config->name and @host outlive the disk. Returns 0, or -errno after an error message. If the host refuses
 * io_uring, requests are done one by one.
 */
int blk_init(struct blk *blk, const struct blk_config *config, const struct virtio_host *host);
/*
 * No request may be in flight (virtio_core_stop()). Accepts a zeroed disk, or one whose init
 * failed.
 */
void blk_release(struct blk *blk);

static inline struct blk *blk_of(struct virtio_device *dev)
{
	return (struct blk *)((char *)dev - offsetof(struct blk, dev));
}

#endif
