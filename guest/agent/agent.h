/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the agent's files. */
#ifndef EBB_GUEST_AGENT_H
#define EBB_GUEST_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "vmm/agent/wire.h"

/* A folder of the host, or a file. */
struct wanted_dir {
	char *path; /* where it is seen */
	bool layered;
};

/* What the host wants. Its pointers point into @records. */
struct wanted {
	struct agent_command head;
	char *records;
	char **argv, **environment; /* each ends with NULL */
	const char *folder;
	struct wanted_dir *dirs;
	unsigned int dir_count;
};

/* All of these end the guest with a report if they fail, after a line on the console. */
_Noreturn void fail(const char *what);
/* Runs a program of the initramfs to its end, silently. */
void run(char *const argv[]);
/* Connects to the host's socket for a stream. */
int dial(enum agent_stream stream);

/* root.c: makes the file tree for the command, and goes there. */
void make_root(const struct wanted *wanted);

/* relay.c: runs the command, and passes on its streams and signals. Returns what became of it. */
struct agent_report run_command(const struct wanted *wanted, int control);

#endif
