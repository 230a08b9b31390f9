/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guests that go on from one snapshot: each by an `ebb run --restore` of its own, a program that knows nothing of the
 * others. What a snapshot tells of its machine need not be given again; nothing that it tells names a file of the host.
 *
 * Thread: main, which holds SIGINT, SIGTERM and SIGHUP back (vmm/lib/program.h).
 */
#ifndef EBB_CMD_CLONES_H
#define EBB_CMD_CLONES_H

#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include "vmm/control/runtime.h"
#include "vmm/snapshot/saved_machine.h"

#define CLONES_MAX 1000
/* The program that runs, also if another has its name by now. */
#define EBB_ITSELF "/proc/self/exe"

/* What is wrong with "-". */
#define CLONES_NO_STREAM "clones share a snapshot in a folder, and \"-\" is none: write its name"

struct clones {
	const char *folder;  /* of the snapshot */
	const char *pattern; /* of their names: each % becomes the clone's number, and %% a % */
	char *const *option; /* more options of `ebb run`; % likewise */
	size_t options;
	const sigset_t *mask; /* of signals, for the programs */
	int limit_ms;	      /* for the start of one: as in struct program */
	struct saved_machine saved;
	unsigned int disks_saved; /* of its disks, with the snapshot: they are not given */
	/* Set by clones_check(): those options have these, so that the snapshot's are not added. */
	bool has_network, has_rng, has_vsock, has_console;
};

/* Makes the pattern "NAME-%"; a % in the name is none of ours. */
#define CLONES_PATTERN_MAX (2 * NAME_MAX + 4)
void clones_pattern(char pattern[CLONES_PATTERN_MAX], const char *name);

/*
 * Checks what the user has written for clone @number of the machine @saved: options, name, disks. Changes nothing. Returns
 * the exit status, after an error message unless it is EXIT_DONE.
 */
int clones_check(struct clones *clones, unsigned int number);
/* Likewise, after that, and once the snapshot is there: what is known from that alone. */
int clones_check_saved(const struct clones *clones);
/* Likewise, whether no guest has one of the names of clones 1 to @count. */
int clones_check_names(const struct clones *clones, unsigned int count);

/* Returns the name of clone @number, which the caller frees; or NULL. */
char *clones_name(const struct clones *clones, unsigned int number);

/*
 * Starts a clone, and waits until it runs. Returns the exit status; the clone's own ebb says what is wrong. If a signal comes
 * or it takes too long, it is ended.
 */
int clones_start(const struct clones *clones, unsigned int number);

/* Returns whether a guest of that clone's name is among the @lives of runtime_list(). */
bool clones_runs(const struct clones *clones, unsigned int number, const struct runtime_guest *live,
		 ssize_t lives);

/*
 * Tells clones @first to @last to quit, by their control sockets; one that does not answer for long gets a signal.
 * Waits until none of them is left.
 */
void clones_end(const struct clones *clones, unsigned int first, unsigned int last);

/* Takes the options from @word on, which is one of @argv. */
void clones_set_options(struct clones *clones, char **argv, const char *word);

#endif
