/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio memory balloon (virtio 1.2 §5.5): memory that the host asks for (inflate and deflate),
 * what the guest gives back by itself (free page reporting), and what it says of its memory
 * (statistics). README.md beside this file tells the theory of operation.
 *
 * Threads: init and release on the main thread, with no other in the device. What else is declared
 * here is for any thread while the balloon is plugged in, and waits for no discard.
 */
#ifndef EBB_VIRTIO_BALLOON_H
#define EBB_VIRTIO_BALLOON_H

#include <linux/virtio_balloon.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/virtio-balloon/parts.h"
#include "devices/virtio-balloon/stats.h"
#include "devices/virtio/device.h"
#include "vmm/util/log.h"

struct balloon_config {
	bool free_page_reporting; /* offer REPORTING, and PAGE_POISON with it */
	bool deflate_on_oom;	  /* offer DEFLATE_ON_OOM: the guest may take back what it needs */
	uint64_t target;	  /* bytes to be in the balloon at first; as balloon_set_target() */
	/*
	 * The driver says that another amount is in the balloon now, or NULL. On a vCPU's thread,
	 * with no lock held: it may call all that is declared here, but keeps the vCPU waiting.
	 */
	void (*changed)(void *ctx);
	void *changed_ctx;
};

/* Only ever grow; written by the worker, read by anyone. */
struct balloon_counters {
	struct {
		atomic_ullong reports;	 /* chains served */
		atomic_ullong blocks;	 /* buffers in them */
		atomic_ullong bytes;	 /* given back to the host */
		atomic_ullong ranges;	 /* discards that were made of them, after merging */
		atomic_ullong failures;	 /* refused by the host, or not RAM */
		atomic_ullong held_back; /* bytes not discarded: inhibited, or poisoned */
	} reporting;
	struct {
		atomic_ullong inflated;	 /* pages of 4 KiB put into the balloon */
		atomic_ullong deflated;	 /* and taken out of it */
		atomic_ullong bytes;	 /* given back to the host */
		atomic_ullong ranges;	 /* discards that were made of them, after merging */
		atomic_ullong failures;	 /* refused by the host, not RAM, or part of a number */
		atomic_ullong held_back; /* bytes not discarded: inhibited */
	} balloon;
};

enum balloon_state {
	BALLOON_NO_DRIVER, /* nobody in the guest serves it */
	BALLOON_REACHED,   /* as much is in it as was asked for */
	BALLOON_MOVING,	   /* not yet */
	BALLOON_STUCK,	   /* nor has anything moved for BALLOON_STUCK_NS: the guest has no more */
};
#define BALLOON_STUCK_NS 10000000000ULL

/* The balloon at one moment. */
struct balloon_view {
	enum balloon_state state;
	uint64_t target; /* bytes that the host wants in it */
	uint64_t actual; /* bytes that are in it, as the driver says; never more than RAM */
};

/* A chain of page numbers that is worked off in bounded windows. */
struct balloon_walk {
	bool busy;
	struct virtq_chain chain;
	struct virtq_cursor cursor;
};

/* Owned by whoever made it; all but `counters` is the device's own business. */
struct balloon {
	struct virtio_device dev;
	struct balloon_counters counters;
	uint32_t pages_max; /* 4 KiB pages in the guest's RAM */
	void (*changed)(void *ctx);
	void *changed_ctx;

	/* Held for moments, with no other lock of the transport taken inside. */
	pthread_mutex_t lock;
	/* Under it: */
	struct virtio_balloon_config registers; /* the configuration space, little-endian */
	bool driver;				/* DRIVER_OK was set */
	uint64_t moved;				/* last change of what `state` is made of, ns */
	struct balloon_stats stats;

	/* The worker's, and the transport's with the worker kept out: */
	struct balloon_walk inflate, deflate;
	struct virtq_chain stats_chain; /* the statistics buffer that the device holds */
	bool stats_held;
	struct parts parts;
	struct log_limit log_report, log_pages; /* what the guest did */
	bool refusal_logged;			/* what the host did: said once */

	atomic_bool stats_wanted; /* somebody asked for fresh statistics */
};

/* @host outlives the balloon. Returns 0, or -errno having said what is wrong. */
int balloon_init(struct balloon *balloon, const struct balloon_config *config,
		 const struct virtio_host *host);
void balloon_release(struct balloon *balloon);

/*
 * Asks the guest to have @bytes in the balloon: rounded down to 4 KiB, all of RAM at most. Nothing
 * has moved when this returns. Returns what was set, in bytes.
 */
uint64_t balloon_set_target(struct balloon *balloon, uint64_t bytes);

/* The balloon at @now (ns, CLOCK_MONOTONIC). */
struct balloon_view balloon_view(struct balloon *balloon, uint64_t now);

/* What balloon_view() decides by. Pages of 4 KiB; @idle: ns since something moved. Pure. */
enum balloon_state balloon_state(bool driver, uint32_t target, uint32_t actual, uint64_t idle);

/*
 * Asks the guest for fresh statistics. They come when it gets round to it, or never: ->updates
 * counts. Where none came after this was called, another call changes nothing.
 */
void balloon_stats_request(struct balloon *balloon);

/* The latest statistics, all of one buffer. Without any since the last reset, none is present. */
void balloon_stats_get(struct balloon *balloon, struct balloon_stats *stats);

#endif
