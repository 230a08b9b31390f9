/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guests and a host on paper, under the keeper's policy or another one, for simulated days. Each
 * guest works by turns: it takes its working set and reads files; then it is idle, frees, and holds
 * back what its rhythm taught it. What a request takes of caches that are in use is read again. What
 * its balloon takes is free memory, and then caches; short of memory it takes that back, or kills.
 * Or it wants what was recorded of a real one, again and again.
 *
 * Deterministic. Thread: any.
 */
#ifndef EBB_TESTS_UNIT_KEEPER_SIM_H
#define EBB_TESTS_UNIT_KEEPER_SIM_H

#include "vmm/keeper/decide.h"

#define SIM_STEP (NS_PER_S / 4)

/* A policy: the keeper's, or a wrong one that a property must catch. */
struct sim_policy {
	size_t (*decide)(struct keeper_policy *policy, const struct keeper_host *host,
			 struct keeper_guest *const *guest, size_t count, uint64_t now,
			 struct keeper_action *action);
	enum keeper_verdict (*look)(struct keeper_guest *guest,
				    const struct keeper_figures *figures, uint64_t now);
};
extern const struct sim_policy sim_keeper;
extern const struct sim_policy sim_absent; /* asks nobody: a host without a keeper */

enum sim_kind {
	SIM_HONEST,
	SIM_LIAR, /* tells of memory that it does not give */
	SIM_MUTE, /* answers nothing */
	SIM_SLOW, /* answers after seconds */
};

/* Of a recorded guest: what its programs used from a second on, and its caches, in MiB. */
struct sim_point {
	unsigned int second, used, caches;
};

struct sim_trace {
	const struct sim_point *point; /* the first at 0 */
	size_t count;
	unsigned int seconds; /* then it begins anew */
};

struct sim_guest {
	enum sim_kind kind;
	uint64_t size, base, work; /* used when idle, and besides that at work; bytes */
	uint64_t hot, files;	   /* caches that are read again when dropped; that work leaves */
	uint64_t turn, busy;	   /* ns: a turn of work and rest, and the work in it; 0: none */
	uint64_t offset;	   /* ns into its first turn, or its trace */
	const struct sim_trace *trace; /* in place of turns; NULL: none */
	uint64_t delay;		       /* ns from free to reported, by itself */
	uint64_t pieces;	       /* free, but never reported */

	bool ages;     /* it tells how old its caches are, and what it misses */
	bool stock;    /* its kernel cannot be asked */
	bool deflates; /* it has a balloon that gives way when memory is short; or */
	bool kills;    /* it says so, but does not */

	uint64_t used, caches, held; /* now */
	size_t at;		     /* in its trace */
	uint64_t to_read;	     /* bytes of files that its trace still has it read */
	uint64_t rest_at;	     /* ns: when it last stopped to use what work leaves */
	uint64_t dropped;	     /* of its caches, and not read again */
	uint64_t balloon, lease;     /* what is in it, what shall be */
	uint64_t lease_until;	     /* ns */
	bool gave_way;		     /* it takes nothing more until it is sent elsewhere */
	uint64_t read_at;	     /* ns: when the last freed memory is reported */
	struct keeper_figures told;
	uint64_t answer_at;
	struct keeper_action asked;
	/* What the keeper took, and what that cost. */
	uint64_t given, reread, requests;
	uint64_t rescued, killed; /* bytes out of the balloon for lack of memory; times it killed */
	uint64_t moves;		  /* leases that grew */
};

struct sim {
	struct sim_policy policy;
	uint64_t total, hog; /* the host's memory, and what others than guests use of it */
	struct sim_guest *guest;
	struct keeper_guest *seen;
	struct keeper_guest **list;
	size_t count;

	uint64_t now;
	struct keeper_policy state;
	uint64_t random;
	/* Counts of what must not happen, and others. */
	uint64_t unanswered;  /* requests to a guest that did not answer the last */
	uint64_t swapped;     /* bytes that did not fit, summed over steps */
	uint64_t needed_most; /* bytes: the sum of what guests used and read at a time */
	uint64_t actions, flips, too_much;
	uint64_t most_a_second; /* actions in one second */
	uint64_t second, in_second;
};

void sim_init(struct sim *sim, const struct sim_policy *policy, uint64_t total, size_t guests);
void sim_release(struct sim *sim);
void sim_run(struct sim *sim, uint64_t ns);
/* Runs until the host has @bytes available, or for @ns at most. Returns how long it took. */
uint64_t sim_until(struct sim *sim, uint64_t bytes, uint64_t ns);
uint64_t sim_available(const struct sim *sim);
/* Returns a number below @limit. */
uint64_t sim_random(struct sim *sim, uint64_t limit);

#endif
