/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio memory balloon (virtio 1.2 §5.5): for now its free page reporting queue.
 * README.md beside this file tells the theory of operation.
 */
#ifndef EBB_VIRTIO_BALLOON_H
#define EBB_VIRTIO_BALLOON_H

#include <linux/virtio_balloon.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/virtio/device.h"
#include "vmm/util/log.h"

struct balloon_config {
	bool free_page_reporting; /* offer VIRTIO_BALLOON_F_REPORTING */
};

/* Only ever grow; written by the worker, read by anyone. */
struct balloon_counters {
	atomic_ullong reports;	/* chains served */
	atomic_ullong blocks;	/* buffers in them */
	atomic_ullong bytes;	/* given back to the host */
	atomic_ullong ranges;	/* discards that were made of them, after merging */
	atomic_ullong failures; /* refused by the host, or not RAM */
};

struct balloon {
	struct virtio_device dev;
	struct balloon_counters counters;
	uint32_t actual_max;			/* 4 KiB pages in the guest's RAM */
	struct virtio_balloon_config registers; /* the configuration space, little-endian */
	struct log_limit log;			/* what the guest did */
	bool refusal_logged;			/* what the host did: said once */
};

/* @host outlives the balloon. Returns 0 or -errno. */
int balloon_init(struct balloon *balloon, const struct balloon_config *config,
		 const struct virtio_host *host);
void balloon_release(struct balloon *balloon);

#endif
