/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chooses the live guests for a subcommand, connects to them and sends them commands, all at once
 * on one loop, so that together they take as long as the slowest. Prints one line for each guest
 * that fails, with text from its ebb escaped for a terminal. All output is in the order of the
 * guests' names.
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
	const char *path; /* of a socket that only reads (ebb run --control-read-only), or NULL */
	bool all;
};

#define OPTION_NAME_LINE                                                                           \
	{                                                                                          \
		OPTION_CHOICE_NAME, 'n', "name", "NAME",                                           \
			"the guest; optional if only one is running", false                        \
	}
#define OPTION_ALL_LINE                                                                            \
	{                                                                                          \
		OPTION_CHOICE_ALL, 'a', "all", NULL, "all guests", false                           \
	}

/*
 * Returns 0, or not 0 with *@error set. Ignores ids other than these two, and returns 0 for them.
 */
int guest_choice_apply(struct guest_choice *choice, int id, const char *value,
		       struct option_error *error);

/* An option_apply for the subcommands that have no other options; its ctx is the choice. */
int guest_choice_only(void *ctx, int id, const char *value, struct option_error *error);

struct guest {
	char name[VM_NAME_MAX + 1];
	char shown[4 * VM_NAME_MAX + 1]; /* the name, for a terminal and for JSON */
	pid_t pid;			 /* 0: unknown */
	struct control_call call;
	bool open;     /* ebb is connected to it, or was until it ended */
	bool asked;    /* send the next command to it; first as open, then up to the subcommand */
	json_t *reply; /* the last command's answer, or NULL: none or an error; owned */
	json_t *stat;  /* set by guest_take_stat(), or NULL */
	uint64_t mark; /* for the subcommand's own use, 0 at first */
};

struct guests {
	struct loop loop;
	struct guest **guest; /* sorted by name */
	size_t count;
};

/*
 * Finds the guests and connects to them. Returns the exit status: EXIT_DONE, or another one after
 * an error message. With choice->all there may be no guest; if one cannot be opened, the others
 * still are (EXIT_FAILED); guests that ended in the meantime are left out. Always call
 * guests_close() afterwards.
 */
int guests_open(struct guests *guests, const struct guest_choice *choice);
void guests_close(struct guests *guests);

/*
 * Runs a subcommand after the command line is parsed: opens the guests, calls @act with the status
 * of opening, and closes them. Does not call @act after a usage error, or if the one guest could
 * not be opened. Returns the status of @act, or of opening.
 */
int guests_run(const struct guest_choice *choice,
	       int (*act)(void *ctx, struct guests *guests, int status), void *ctx);

/*
 * Sends a command to each guest whose `asked` is set. Takes the reference @arguments (NULL: none).
 * If a guest does not answer within @milliseconds, refuses or ends, guests_ask() prints an error
 * message; guests_ask_quietly() does not.
 */
void guests_ask(struct guests *guests, const char *command, json_t *arguments, int milliseconds);
void guests_ask_quietly(struct guests *guests, const char *command, json_t *arguments,
			int milliseconds);

/*
 * Sends a command to each guest whose `asked` is set, every @poll_ms for up to @limit_ms, until
 * @done returns true for it. Afterwards `asked` is set for the guests that were not done in time.
 * If a guest fails, prints an error message and stops asking it; its call.err is not 0.
 */
void guests_poll(struct guests *guests, const char *command, int poll_ms, unsigned int limit_ms,
		 bool (*done)(void *ctx, struct guest *guest), void *ctx);

/* Waits up to @limit_ms for the end of each guest whose `asked` is set. */
void guests_wait_end(struct guests *guests, unsigned int limit_ms);

/*
 * Calls @finish for each guest that is open; it prints the result or an error message and returns
 * an exit status. If @finish is NULL, the status is EXIT_FAILED for a guest that did not answer.
 * Returns the worst of these and of @status: EXIT_FAILED is worse than EXIT_LATE.
 */
int guests_finish(struct guests *guests, int status, int (*finish)(void *ctx, struct guest *guest),
		  void *ctx);

/*
 * Checks guest->reply, an answer to x-ebb-stat, and sets guest->stat. A guest that was chosen by a path is shown by the
 * name that it tells. Returns false after an error
 * message.
 */
bool guest_take_stat(struct guest *guest);

#endif
