/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio memory balloon (virtio 1.2 §5.5): memory that the host asks for (inflate and deflate),
 * what the guest gives back by itself (free page reporting) or at once when asked (reclaim), and what
 * it says of its memory (statistics). README.md beside this file tells the theory of operation.
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

#include "devices/virtio-balloon/partial_pages.h"
#include "devices/virtio-balloon/stats.h"
#include "devices/virtio/device.h"
#include "vmm/lib/log.h"

struct balloon_config {
	bool free_page_reporting; /* offer REPORTING, and what goes with it */
	bool deflate_on_oom;	  /* offer DEFLATE_ON_OOM: the guest may take back what it needs */
	uint64_t target;	  /* bytes to be in the balloon at first; as balloon_set_target() */
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
	struct {
		atomic_ullong requests; /* that were taken */
		atomic_ullong answered; /* by the guest, in time */
		atomic_ullong timeouts; /* not answered in time */
	} reclaim;
};

enum balloon_state {
	BALLOON_NO_DRIVER, /* nobody in the guest serves it */
	BALLOON_REACHED,   /* as much is in it as was asked for */
	BALLOON_MOVING,	   /* not yet */
	BALLOON_STUCK,	   /* nor has anything moved for BALLOON_STUCK_NS: the guest has no more */
};
#define BALLOON_STUCK_NS 10000000000ULL

/* What the guest is asked to give back at once. */
struct balloon_reclaim_request {
	uint64_t cache;	     /* bytes of clean page cache to give up at most */
	uint32_t timeout_ms; /* in which to do it; 0: a second */
	bool compact;	     /* move what is used together first */
};
#define BALLOON_RECLAIM_ALL UINT64_MAX
/* A guest that looks at its clock late, or has to finish what it is at, is waited for that long. */
#define BALLOON_RECLAIM_GRACE_MS 5000

enum balloon_reclaim_state {
	BALLOON_RECLAIM_NONE,	    /* nothing was asked for yet */
	BALLOON_RECLAIM_ASKED,	    /* not answered yet */
	BALLOON_RECLAIM_DONE,	    /* the guest has done all of it */
	BALLOON_RECLAIM_TIMEOUT,    /* what it could in its time */
	BALLOON_RECLAIM_FAILED,	    /* it says that it cannot */
	BALLOON_RECLAIM_UNANSWERED, /* it says nothing until the deadline */
	BALLOON_RECLAIM_GONE,	    /* nobody is left to answer: the driver reset the device, or
				       broke the rules */
};

/* As the guest says; never more than its RAM. */
struct balloon_reclaim_answer {
	uint64_t drained, cache, compacted, reported, free; /* bytes */
	uint32_t elapsed_ms;
};

/* The latest request at one moment. */
struct balloon_reclaim_view {
	enum balloon_reclaim_state state;
	uint64_t elapsed;		      /* ns, from the request to its end or now */
	uint64_t deadline;		      /* ns, CLOCK_MONOTONIC: UNANSWERED from then on */
	struct balloon_reclaim_answer answer; /* where DONE or TIMEOUT */
};

/* The latest request, and where its chain is. */
struct balloon_reclaim {
	struct balloon_reclaim_request request;
	struct balloon_reclaim_view view;
	uint64_t asked; /* ns */
	uint32_t id;
	bool sent; /* it is with the driver, and the chain with it: also when nobody waits any more */
};

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
	void (*reclaimed)(void *ctx);
	void *reclaimed_ctx;

	/* Held for moments, with no lock of the core taken inside. */
	pthread_mutex_t lock;
	/* Under it: */
	struct virtio_balloon_config registers; /* the configuration space, little-endian */
	bool driver;				/* DRIVER_OK was set */
	uint64_t moved;				/* last change of what `state` is made of, ns */
	struct balloon_stats stats;
	struct balloon_reclaim reclaim;

	/* The worker's, and the core's with the worker kept out: */
	struct balloon_walk inflate, deflate;
	struct virtq_chain stats_chain; /* the statistics buffer that the device holds */
	bool stats_held;
	struct virtq_chain reclaim_chain; /* as stats_chain */
	bool reclaim_held;
	struct partial_pages parts;
	struct log_limit log_report, log_pages; /* what the guest did */
	bool refusal_logged;			/* what the host did: said once */

	atomic_bool stats_wanted; /* somebody asked for fresh statistics */
};

/* @host outlives the balloon. Returns 0, or -errno having said what is wrong. */
int balloon_init(struct balloon *balloon, const struct balloon_config *config,
		 const struct virtio_host *host);
void balloon_release(struct balloon *balloon);

/* What the driver negotiates at most: whether free page reporting is offered. */
bool balloon_offers_reporting(const struct balloon *balloon);
/* Likewise for DEFLATE_ON_OOM. */
bool balloon_offers_deflate_on_oom(const struct balloon *balloon);

/*
 * Has @changed called when the driver says that another amount is in the balloon; NULL: nobody. It is
 * called on a vCPU's thread with no lock held, and may call all that is declared here. Set both of
 * these while no guest runs.
 */
void balloon_on_changed(struct balloon *balloon, void (*changed)(void *ctx), void *ctx);
/*
 * Has @reclaimed called when what balloon_reclaim() asked for is over, other than by its deadline. It
 * is called on the worker or a vCPU's thread with the core's locks held: it may only wake somebody.
 */
void balloon_on_reclaimed(struct balloon *balloon, void (*reclaimed)(void *ctx), void *ctx);

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

/*
 * Asks the guest to give back at once what it can, at @now (ns, CLOCK_MONOTONIC). Returns 0: how it
 * goes is told by balloon_reclaim_view(), to be asked when balloon_on_reclaimed() says so and at the
 * deadline; or -EOPNOTSUPP where it is not offered or not negotiated, -ENODEV without a driver, -EBUSY
 * while another request is open, or one that was given up is still with the driver.
 */
int balloon_reclaim(struct balloon *balloon, const struct balloon_reclaim_request *request,
		    uint64_t now);
/* The latest request at @now. */
struct balloon_reclaim_view balloon_reclaim_view(struct balloon *balloon, uint64_t now);

/* Whether the driver negotiated it. */
bool balloon_reclaims(const struct balloon *balloon);

#endif
