/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gives up what a guest could misuse if it took over ebb, or its keeper: README.md has the numbered phases. None can
 * be undone, and each is left out with --sandbox=off.
 *
 * Thread: main, before any other thread starts: each has its own capabilities, and inherits its
 * parent's. Both calls return 0, or -errno after an error message.
 */
#ifndef EBB_SANDBOX_SANDBOX_H
#define EBB_SANDBOX_SANDBOX_H

#include <stdbool.h>

#include "vmm/lib/worker.h"
#include "vmm/sandbox/filter.h"
#include "vmm/sandbox/namespaces.h"

struct sandbox {
	struct worker_guard guard; /* loads the filter of a thread's kind */
	struct namespaces namespaces;
	bool has_namespaces; /* once it is entered; false where the host does not permit them */
	int directory;
};

#define SANDBOX_NONE                                                                               \
	{                                                                                          \
		.namespaces = NAMESPACES_NONE                                                      \
	}

/*
 * Before there is anything of a guest in ebb's memory. @directory is a descriptor, which stays open:
 * names of files can be removed there, and nowhere else. The struct stays until all threads have
 * ended. Call sandbox_release() in any case.
 */
int sandbox_begin(struct sandbox *sandbox, int directory);

/*
 * After everything has been opened that needs a name or a privilege, and before other threads start:
 * they, and last of all the main thread, as "main", then enter @sandbox->guard. Where the host does not
 * permit namespaces, it is an error if @required, and a warning if not.
 */
int sandbox_enter(struct sandbox *sandbox, bool required);

/*
 * The same for the keeper, which goes on to connect to guests by their names: in the directory, and nowhere else. Where it
 * has namespaces that is NAMESPACES_NAMES from then on.
 */
int sandbox_enter_keeper(struct sandbox *sandbox, bool required);

/* If it was not entered, ends the process that it has started. */
void sandbox_release(struct sandbox *sandbox);

#endif
