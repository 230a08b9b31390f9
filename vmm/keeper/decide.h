/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper's policy: figures of the host and of its guests in, requests to guests out. Only a host
 * that is short asks; then it asks for as much as it lacks, by the cheapest means first, and idle
 * guests first. What a request cost its guest (memory that came back at once, pages read again)
 * decides when that guest is asked again: later at once, and sooner only slowly.
 *
 * What goes into a balloon stays there, so it goes by a lease: decide() renews it, and gives it back
 * when its guest needs it or the host has plenty. A guest whose figures are old is not renewed.
 *
 * Pure: the caller passes the time, in ns of clock_ns(), and carries out the actions. Sizes are in
 * bytes. A guest's figures may be anything: they decide what that guest is asked for, bounded by
 * what its ebb holds, and never how long another one waits.
 *
 * Owner: the caller. Thread: its owner's.
 */
#ifndef EBB_KEEPER_DECIDE_H
#define EBB_KEEPER_DECIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/lib/pace.h"

#define KEEPER_REQUESTS_MAX 32 /* in flight at a time, and so the actions of one decision */
#define KEEPER_RATE	    64 /* requests a second, to all guests together */

/* Cheapest first. */
enum keeper_means {
	KEEPER_REPORT,	/* report now what is free, also what the guest holds back for its rhythm */
	KEEPER_CACHE,	/* and drop so many bytes of clean page cache */
	KEEPER_COMPACT, /* and move pages together, so that scattered free ones can be reported */
	KEEPER_BALLOON, /* a lease on memory that programs could have, into the balloon */
	KEEPER_MEANS,
};

/* For so long, or longer, a guest has not used what it has in memory. */
enum keeper_age {
	KEEPER_10S,
	KEEPER_1MIN,
	KEEPER_10MIN,
	KEEPER_1H,
	KEEPER_AGES,
};

/* How cold memory is of which no age is known, but that its guest is idle. */
#define KEEPER_COLD 1

#define KEEPER_WATCH_S 10 /* for so long after an answer what it costs is watched */
#define KEEPER_LEASE_S 60
#define KEEPER_WEIGHT  100 /* of a guest whose user set none */

struct keeper_host {
	uint64_t total;	    /* RAM, or the limit of the keeper's cgroup */
	uint64_t available; /* what programs can have of it without swapping */
	bool stalls;	    /* tasks waited for memory since the last decision (PSI) */
};

/* Of a guest, at one look. */
struct keeper_figures {
	bool running;
	bool reclaims;	 /* its kernel can be asked */
	bool told;	 /* the guest's own figures below are there, and fresh */
	bool deflates;	 /* it takes memory out of its balloon rather than kill for lack of it */
	uint64_t weight; /* what its memory is worth, against other guests'; 0: not told */
	uint64_t size, ballooned;
	uint64_t resident;	 /* what the host gets back if it is discarded */
	uint64_t shared;	 /* resident beside it, in a file that other clones map, too */
	uint64_t target, leased; /* what the balloon shall hold; of that, by a lease */
	uint64_t free, caches, available;
	bool ages;		   /* it tells how old its caches are: */
	uint64_t old[KEEPER_AGES]; /* files in memory that were not used for so long, about */
	bool costs;		   /* it tells refaults and stalled */
	/* Counters. */
	uint64_t updates;  /* statistics that the guest sent */
	uint64_t faults;   /* page faults of all kinds: the guest is at work */
	uint64_t reread;   /* bytes: major page faults, and swap-in */
	uint64_t refaults; /* bytes that were needed again after it had reclaimed them */
	uint64_t stalled;  /* ns in which tasks waited for memory */
	uint64_t kills;	   /* processes killed for lack of memory */
};

enum keeper_answer {
	KEEPER_DONE,
	KEEPER_LATE,	/* the guest did only a part of it in time */
	KEEPER_REFUSED, /* by its ebb: the guest is paused, busy, without a driver */
	KEEPER_MUTE,	/* no answer in time */
};

/* What came of a request, for the log. */
enum keeper_verdict {
	KEEPER_QUIET,	 /* nothing yet, or nothing to tell */
	KEEPER_TOO_MUCH, /* the guest took it back at once, or read it again */
	KEEPER_KILLED,	 /* the guest killed a process since the last look */
};

/* What was learned of a guest. A guest at work and an idle one need not behave alike. */
struct keeper_pacing {
	uint64_t not_before[KEEPER_MEANS]; /* when it may be asked again by these means */
	uint64_t pause[KEEPER_MEANS];	   /* how long it is left alone after the next failure */
	unsigned int share; /* of its caches that it may be asked for at once, in 1/256 */
};

/* What was leased from a guest. */
struct keeper_lease {
	uint64_t renewed_at; /* 0: by another keeper */
	uint64_t changed_at;
	uint64_t reread_base;
	bool need; /* the guest needs it back */
};

/* The keeper's memory of one guest, and its last figures. All zeros at first. */
struct keeper_guest {
	struct keeper_figures now;
	bool looked;
	uint64_t looked_at;
	bool compared;	     /* figures of two looks were there: its pressure was seen */
	uint64_t known_at;   /* from when on it is known whether it is at work */
	uint64_t busy_at;    /* when it was last seen at work */
	uint64_t pressed_at; /* when its tasks were last seen to wait for memory; 0: never */

	bool asked; /* a request is in flight, and so are these */
	enum keeper_means means;
	bool idle;
	uint64_t asked_at;
	uint64_t cache, extra;
	uint64_t expected;

	bool mute; /* it did not answer; until it sends statistics again */
	uint64_t mute_updates;
	struct keeper_pacing pacing[2]; /* at work, idle */
	bool answered;			/* since the last look */
	uint64_t left; /* still held after the last request: what it cannot report */

	struct keeper_lease lease;

	/* What the last request took is watched until then; 0: nothing is. */
	uint64_t watch_until;
	enum keeper_means watched;
	bool watched_idle; /* when it was asked */
	bool seen;	   /* it was looked at half a second after that request, or later */
	bool grown;	   /* its share is larger by what was seen since */
	uint64_t came;
	uint64_t back; /* of that, as far as was seen, it wanted so much back */
	uint64_t base; /* of the watched size: the least since the request */
	uint64_t reread_base, refaults_base;
};

struct keeper_action {
	size_t guest; /* the index */
	enum keeper_means means;
	bool idle;
	unsigned int cold; /* the more, the surer its guest does without: KEEPER_COLD + the age */
	uint64_t cache;	   /* bytes of page cache to ask for */
	uint64_t
		extra; /* KEEPER_BALLOON: how large the lease shall be, also if nothing is to come */
	uint64_t expected; /* bytes that should come */
};

struct keeper_policy {
	bool tight;	/* from below the low mark until above the high one */
	bool urgent;	/* below half of the low mark */
	uint64_t lacks; /* bytes, at the last decision */
	struct pace pace;
};

struct keeper_policy keeper_policy_start(uint64_t now);

/* The host is short below the low mark, and no longer above the high one. */
uint64_t keeper_low(const struct keeper_host *host);
uint64_t keeper_high(const struct keeper_host *host);

/* Takes new figures of a guest. */
enum keeper_verdict keeper_look(struct keeper_guest *guest, const struct keeper_figures *figures,
				uint64_t now);

/* As far as the last look shows. */
bool keeper_is_idle(const struct keeper_guest *guest);

/* Returns what the guest has free and its ebb still holds, as far as is known. */
uint64_t keeper_held(const struct keeper_figures *figures);

/*
 * Writes up to KEEPER_REQUESTS_MAX requests to @action and marks their guests as asked, until
 * keeper_answered(). Returns how many. O(count).
 */
size_t keeper_decide(struct keeper_policy *policy, const struct keeper_host *host,
		     struct keeper_guest *const *guest, size_t count, uint64_t now,
		     struct keeper_action action[KEEPER_REQUESTS_MAX]);

/*
 * Takes the end of a request. @bytes, by the ebb of the guest: so many fewer are resident; for
 * KEEPER_BALLOON so many are leased now; 0 unless done or late. Look at the guest again soon.
 */
void keeper_answered(struct keeper_guest *guest, enum keeper_answer answer, uint64_t bytes,
		     uint64_t now);

/* Returns after how many ns the host should be looked at again: the sooner, the less it has. */
uint64_t keeper_host_pause(const struct keeper_policy *policy, const struct keeper_host *host);
/* And after how many ns a guest: the sooner if it has lent memory. */
uint64_t keeper_guest_pause(const struct keeper_policy *policy, const struct keeper_host *host,
			    const struct keeper_guest *guest);

#endif
