/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One guest, as the keeper sees it through its control socket: a client that looks at it (asks for
 * fresh statistics, waits for them a little, takes x-ebb-stat) or asks it for memory, one step at a
 * time. A guest that is starting, stuck, or not ebb at all is tried again, ever more seldom.
 *
 * Owner: the keeper. It must not move. Thread: the one that runs the loop.
 */
#ifndef EBB_KEEPER_KEPT_H
#define EBB_KEEPER_KEPT_H

#include <jansson.h>

#include "vmm/control/client.h"
#include "vmm/keeper/decide.h"
#include "vmm/lib/guest_name.h"
#include "vmm/lib/log.h"

enum kept_phase {
	KEPT_CLOSED, /* to be opened when due */
	KEPT_OPENING,
	KEPT_READY,
	KEPT_WANTING, /* asks for statistics */
	KEPT_WAITING, /* until due, for statistics to come */
	KEPT_LOOKING, /* at x-ebb-stat */
	KEPT_ASKED,   /* for memory */
	KEPT_GONE,    /* the guest has ended: to be freed */
};

/* A request to a guest, and what came of it: for log and status. */
struct kept_request {
	uint64_t at; /* ns; 0: there was none */
	struct keeper_action action;
	uint64_t returned; /* KEEPER_BALLOON: of what the guest had lent it gets so much back */
	bool needed;	   /* since it needs that, not since the host has plenty */
	bool aged;	   /* it told how old its caches are */
	bool open;	   /* not answered yet */
	enum keeper_answer answer;
	uint64_t took; /* ns until the answer */
	uint64_t came; /* bytes; KEEPER_BALLOON: of a lease, since they come later */
	bool watched;  /* the policy looks at what it cost: */
	uint64_t back; /* of what came the guest wanted so much back */
	enum keeper_verdict verdict;
};

struct kept {
	char name[VM_NAME_MAX + 1];
	char shown[4 * VM_NAME_MAX + 1]; /* the name, for a terminal and for JSON */
	struct loop *loop;
	void (*changed)(
		void *ctx); /* something is to do; may be called at any time from the loop */
	void *ctx;

	struct control_client *client;
	enum kept_phase phase;
	bool again; /* a guest of this name has started since: look for it when this one is gone */
	uint64_t due;	  /* ns: CLOSED, WAITING */
	uint64_t backoff; /* ns: after the next failure */
	uint64_t wanted;  /* statistics are fresh when there are more updates than this */
	unsigned int tries;
	uint64_t wait; /* ns: between two of them */

	struct keeper_guest seen;
	/* For the status: since the keeper found it. */
	uint64_t requests, answered, came;
	struct kept_request last;
	struct log_limit limit; /* of lines that its ebb can cause */
};

/* Returns a guest that is to be opened at once, or NULL: out of memory. */
struct kept *kept_new(struct loop *loop, const char *name, void (*changed)(void *ctx), void *ctx);
void kept_free(struct kept *kept);

/* Does what is due. */
void kept_tick(struct kept *kept, uint64_t now);

/* Starts a look at a guest that is READY. */
void kept_look(struct kept *kept);

/*
 * Notes a request that is to be made, or is only said to be. Returns false if it only renews a lease: that is no news,
 * and is not noted.
 */
bool kept_note(struct kept *kept, const struct keeper_action *action, uint64_t now);

/* Asks a guest that is READY for memory. */
void kept_ask(struct kept *kept, const struct keeper_action *action);

/* Returns a word for its state. */
const char *kept_state(const struct kept *kept);

#endif
