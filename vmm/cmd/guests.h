/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The live guests that a subcommand is for: chosen, connected to, and asked, all at once on one loop, so that
 * they take together as long as the slowest. Failures are told here, one line for each guest, with
 * what its ebb says made fit for a terminal; in the order of the guests' names, as all output is.
 *
 * Thread: main.
 */
#ifndef EBB_CMD_GUESTS_H
#define EBB_CMD_GUESTS_H

#include <stdbool.h>
#include <sys/types.h>

#include "vmm/control/call.h"
#include "vmm/lib/guest_name.h"
#include "vmm/lib/loop.h"
#include "vmm/lib/options.h"

/* -n NAME and -a, for a subcommand's table of options and its option_apply. */
enum { OPTION_CHOICE_NAME = 100, OPTION_CHOICE_ALL };

struct guest_choice {
	const char *name; /* or NULL */
	bool all;
};

#define OPTION_NAME_LINE                                                                           \
	{                                                                                          \
		OPTION_CHOICE_NAME, 'n', "name", "NAME",                                           \
			"the guest; with only one running, it is that", false                      \
	}
#define OPTION_ALL_LINE                                                                            \
	{                                                                                          \
		OPTION_CHOICE_ALL, 'a', "all", NULL, "all guests", false                           \
	}

/* Returns 0, or not 0 with *@error filled in. Other ids than the two are left alone: 0. */
int guest_choice_apply(struct guest_choice *choice, int id, const char *value,
		       struct option_error *error);

/* An option_apply for the subcommands that have no other options; its ctx is the choice. */
int guest_choice_only(void *ctx, int id, const char *value, struct option_error *error);

struct guest {
	char name[VM_NAME_MAX + 1];
	char shown[4 * VM_NAME_MAX + 1]; /* the name, for a terminal and for JSON */
	pid_t pid;			 /* 0: unknown */
	struct control_call call;
	bool open; /* it is connected to, or was until it ended */
	bool asked; /* the next command is for it too: at first where it is open; the subcommand may change it */
	json_t *reply; /* to the last command, the guest's reference; NULL where it was not asked or failed */
	json_t *stat;  /* what guest_take_stat() got last, or NULL */
	uint64_t mark; /* the subcommand's own, 0 at first */
};

struct guests {
	struct loop loop;
	struct guest **guest; /* sorted by name */
	size_t count;
};

/*
 * Finds the guests and connects to them. Returns what to exit with: EXIT_DONE, else the reason has
 * been told. With choice->all, there may be none, a guest may not be open (EXIT_FAILED; the others
 * are), and those that ended meanwhile are left out. guests_close() is always due.
 */
int guests_open(struct guests *guests, const struct guest_choice *choice);
void guests_close(struct guests *guests);

/*
 * Runs a command at each guest that is asked; @arguments (NULL: none) become the callee's. A guest that does not
 * answer within @milliseconds, refuses or ends is told of, or not (quietly).
 */
void guests_ask(struct guests *guests, const char *command, json_t *arguments, int milliseconds);
void guests_ask_quietly(struct guests *guests, const char *command, json_t *arguments,
			int milliseconds);

/*
 * Runs a command at each guest that is asked, every @poll_ms up to @limit_ms, until @done says that the guest need not
 * be asked again. Afterwards the ones still asked are those that were not done in time. A guest that failed is told of and not
 * asked again; its call.err is not 0.
 */
void guests_poll(struct guests *guests, const char *command, int poll_ms, unsigned int limit_ms,
		 bool (*done)(void *ctx, struct guest *guest), void *ctx);

/* Waits for the asked guests' ends, up to @limit_ms. */
void guests_wait_end(struct guests *guests, unsigned int limit_ms);

/*
 * Calls @finish for each guest that is open: what to exit with for it, having printed or told what there is. NULL:
 * EXIT_FAILED where it did not answer. Returns the worst of these and of @status: a failure is worse than being late.
 */
int guests_finish(struct guests *guests, int status, int (*finish)(void *ctx, struct guest *guest),
		  void *ctx);

/* Checks guest->reply, an answer to x-ebb-stat, into guest->stat; false having told why. */
bool guest_take_stat(struct guest *guest);

#endif
