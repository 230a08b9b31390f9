/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The live guests that a subcommand is for: chosen, connected to, asked. What goes wrong is said
 * here, in one line for each guest, with what its ebb says made fit for a terminal.
 *
 * Thread: main.
 */
#ifndef EBB_CMD_GUESTS_H
#define EBB_CMD_GUESTS_H

#include <stdbool.h>
#include <sys/types.h>

#include "vmm/control/client.h"
#include "vmm/lib/guest_name.h"
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

/* Returns 0, or not 0 having said why. Other ids than the two are none of its business: 0. */
int guest_choice_apply(struct guest_choice *choice, int id, const char *value,
		       struct option_error *error);

/* An option_apply for the subcommands that have no other options; its ctx is the choice. */
int guest_choice_only(void *ctx, int id, const char *value, struct option_error *error);

struct guest {
	char name[VM_NAME_MAX + 1];
	char shown[4 * VM_NAME_MAX + 1]; /* the name, for a terminal */
	pid_t pid;			 /* 0: unknown */
	struct control_client *client;	 /* NULL where there is no speaking to it */
};

struct guests {
	struct guest *guest;
	size_t count;
};

/*
 * Finds the guests and connects to them. Returns what to exit with: EXIT_DONE, else having said why. With
 * choice->all, there may be none, a guest may be left without a client (which makes it EXIT_FAILED; go on), and
 * those that ended meanwhile are left out. guests_close() is always due.
 */
int guests_open(struct guests *guests, const struct guest_choice *choice);
void guests_close(struct guests *guests);

/*
 * Runs a command at a guest; @arguments become the callee's. *@reply (NULL: not wanted) is a new
 * reference. Returns EXIT_DONE, or EXIT_FAILED having said why (the second says nothing).
 */
int guest_run(struct guest *guest, const char *command, json_t *arguments, json_t **reply);
int guest_run_quietly(struct guest *guest, const char *command, json_t *arguments, json_t **reply);

/*
 * The same in two steps, so that several guests can be at it at once: guest_finish() waits for the
 * answer, up to @milliseconds.
 */
int guest_start(struct guest *guest, const char *command, json_t *arguments);
int guest_finish(struct guest *guest, const char *command, int milliseconds, json_t **reply);

/* The guest's figures, checked: a new reference, or NULL having said why. */
json_t *guest_stat(struct guest *guest);

#endif
