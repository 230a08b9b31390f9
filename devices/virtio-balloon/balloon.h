/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio memory balloon (virtio 1.2 §5.5): memory that the host asks for (inflate and deflate),
 * memory that the guest gives back by itself (free page reporting) or at once when asked (reclaim), and
 * the statistics of its memory. README.md beside this file tells the theory of operation.
 *
 * Threads: init and release on the main thread, with no other in the device. Any thread may
 * call the other functions while the balloon is plugged in; they wait for no discard.
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
	bool free_page_reporting; /* offer REPORTING, and the features that depend on it */
	bool deflate_on_oom;	  /* offer DEFLATE_ON_OOM: the guest may take back pages it needs */
	uint64_t target;	  /* initial target in bytes, as for balloon_set_target() */
};

/* They only grow; the worker writes them, any thread reads them. */
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
		atomic_ullong deflated;	 /* pages of 4 KiB taken out of it */
		atomic_ullong bytes;	 /* given back to the host */
		atomic_ullong ranges;	 /* discards that were made of them, after merging */
		atomic_ullong failures;	 /* refused by the host, not RAM, or part of a number */
		atomic_ullong held_back; /* bytes not discarded: inhibited */
	} balloon;
	struct {
		atomic_ullong requests; /* accepted */
		atomic_ullong answered; /* by the guest, in time */
		atomic_ullong timeouts; /* not answered in time */
	} reclaim;
};

enum balloon_state {
	BALLOON_NO_DRIVER, /* no driver in the guest serves it */
	BALLOON_REACHED,   /* the target is in it */
	BALLOON_MOVING,	   /* not reached yet */
	BALLOON_STUCK, /* not reached, and no change for BALLOON_STUCK_NS: the guest has no more */
};
#define BALLOON_STUCK_NS 10000000000ULL

/* A request to the guest to give memory back at once. */
struct balloon_reclaim_request {
	uint64_t cache;	     /* bytes of clean page cache to give up at most */
	uint32_t timeout_ms; /* time limit; 0: a second */
	bool compact;	     /* compact memory first */
};
#define BALLOON_RECLAIM_ALL UINT64_MAX
/* Extra time for a guest that checks its clock late, or finishes work it has begun. */
#define BALLOON_RECLAIM_GRACE_MS 5000

enum balloon_reclaim_state {
	BALLOON_RECLAIM_NONE,	    /* no request yet */
	BALLOON_RECLAIM_ASKED,	    /* not answered yet */
	BALLOON_RECLAIM_DONE,	    /* the guest has done all of the request */
	BALLOON_RECLAIM_TIMEOUT,    /* the guest has done a part of it in its time */
	BALLOON_RECLAIM_FAILED,	    /* the guest says that it cannot */
	BALLOON_RECLAIM_UNANSWERED, /* no answer before the deadline */
	BALLOON_RECLAIM_GONE,	    /* no answer can come: the driver reset the device, or broke
				       the rules */
};

/* The guest's own figures; never more than its RAM. */
struct balloon_reclaim_answer {
	uint64_t drained, cache, compacted, reported, free; /* bytes */
	uint32_t elapsed_ms;
};

/* The latest request at one moment. */
struct balloon_reclaim_view {
	enum balloon_reclaim_state state;
	uint64_t elapsed;		      /* ns, from the request to its end or now */
	uint64_t deadline;		      /* ns, CLOCK_MONOTONIC: UNANSWERED from then on */
	struct balloon_reclaim_answer answer; /* if DONE or TIMEOUT */
};

/* The latest request, and where its chain is. */
struct balloon_reclaim {
	struct balloon_reclaim_request request;
	struct balloon_reclaim_view view;
	uint64_t asked; /* ns */
	uint32_t id;
	bool sent; /* the driver has the request and the chain, even after the deadline */
};

/* The balloon at one moment. */
struct balloon_view {
	enum balloon_state state;
	uint64_t target; /* bytes that the host wants in it */
	uint64_t actual; /* bytes in it, as the driver reports; never more than RAM */
};

/* A chain of page numbers, which is served in bounded windows. */
struct balloon_walk {
	bool busy;
	struct virtq_chain chain;
	struct virtq_cursor cursor;
};

/* Owner: its creator, who may use the counters; all else is internal. */
struct balloon {
	struct virtio_device dev;
	struct balloon_counters counters;
	uint32_t pages_max; /* 4 KiB pages in the guest's RAM */
	void (*changed)(void *ctx);
	void *changed_ctx;
	void (*reclaimed)(void *ctx);
	void *reclaimed_ctx;

	/* Held only briefly; no lock of the core is taken inside. */
	pthread_mutex_t lock;
	/* Under it: */
	struct virtio_balloon_config registers; /* the configuration space, little-endian */
	bool driver;				/* DRIVER_OK was set */
	uint64_t moved;				/* last change of what `state` depends on, ns */
	struct balloon_stats stats;
	struct balloon_reclaim reclaim;

	/* Thread: the worker, or the core while it keeps the worker out. */
	struct balloon_walk inflate, deflate;
	struct virtq_chain stats_chain; /* the statistics buffer that the device holds */
	bool stats_held;
	struct virtq_chain reclaim_chain; /* as stats_chain */
	bool reclaim_held;
	struct partial_pages parts;
	struct log_limit log_report, log_pages; /* faults of the guest */
	bool refusal_logged;			/* failures of the host: logged once */

	atomic_bool stats_wanted; /* fresh statistics were asked for */
};

/* @host outlives the balloon. Returns 0, or -errno after an error message. */
int balloon_init(struct balloon *balloon, const struct balloon_config *config,
		 const struct virtio_host *host);
void balloon_release(struct balloon *balloon);

/* Returns whether free page reporting is offered. */
bool balloon_offers_reporting(const struct balloon *balloon);
/* Returns whether DEFLATE_ON_OOM is offered. */
bool balloon_offers_deflate_on_oom(const struct balloon *balloon);
/* Returns whether the driver negotiated it. */
bool balloon_deflates_on_oom(const struct balloon *balloon);

/*
 * Sets the hook that is called when the driver reports another size of the balloon; NULL: none. It
 * is called on a vCPU's thread with no lock held, and may call everything declared here. Set both hooks
 * while no guest runs.
 */
void balloon_on_changed(struct balloon *balloon, void (*changed)(void *ctx), void *ctx);
/*
 * Sets the hook that is called when a request of balloon_reclaim() ends, except by its deadline. It is
 * called on the worker with the core's locks held: it may only wake another thread.
 */
void balloon_on_reclaimed(struct balloon *balloon, void (*reclaimed)(void *ctx), void *ctx);

/*
 * Asks the guest to put @bytes into the balloon: rounded down to 4 KiB, at most all of RAM. Returns the
 * new target, in bytes, at once: pages move later.
 */
uint64_t balloon_set_target(struct balloon *balloon, uint64_t bytes);

/* Returns the balloon's state at @now (ns, CLOCK_MONOTONIC). */
struct balloon_view balloon_view(struct balloon *balloon, uint64_t now);

/* Pure. Decides the state for balloon_view(). Pages of 4 KiB; @idle: ns since something moved. */
enum balloon_state balloon_state(bool driver, uint32_t target, uint32_t actual, uint64_t idle);

/*
 * Asks the guest for fresh statistics. They come after some time, or never: ->updates counts them. While
 * a request is open, another call has no effect.
 */
void balloon_stats_request(struct balloon *balloon);

/* Copies the latest statistics, all from one buffer. If none came since the last reset, none is present. */
void balloon_stats_get(struct balloon *balloon, struct balloon_stats *stats);

/*
 * Asks the guest to give back memory at once, at @now (ns, CLOCK_MONOTONIC). Returns 0; then call
 * balloon_reclaim_view() for the result, after the hook of balloon_on_reclaimed() and at the deadline.
 * Returns -EOPNOTSUPP if the feature is not offered or not negotiated, -ENODEV without a driver, -EBUSY
 * while another request is open, or while the driver still has one whose deadline is over.
 */
int balloon_reclaim(struct balloon *balloon, const struct balloon_reclaim_request *request,
		    uint64_t now);
/* Returns the latest request as of @now. */
struct balloon_reclaim_view balloon_reclaim_view(struct balloon *balloon, uint64_t now);

/* Returns whether the driver negotiated reclaim. */
bool balloon_reclaims(const struct balloon *balloon);

#endif
