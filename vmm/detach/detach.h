/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that runs without a terminal: ebb run --detach. Its standard streams are pipes to a process
 * of its own, the keeper, which keeps the end of the output, writes the log, and serves `ebb
 * console`. The guest's own process opens no file and serves no console once it runs, and goes on
 * without console if the keeper is killed.
 *
 *     ebb run --detach ── ends when the guest runs
 *      └─ keeper ──── log, clients of the console
 *          └─ the guest's process ──── ready: the console's socket, once
 *
 * Thread: main, before any other thread runs. Source: pipe(7), unix(7), setsid(2).
 */
#ifndef EBB_DETACH_DETACH_H
#define EBB_DETACH_DETACH_H

#include <sys/types.h>

struct detach {
	int ready; /* to the keeper; -1: not detached, or already told */
	/* In the process that returns, once the guest runs: */
	pid_t guest;
	int status; /* the exit status to end with */
};

#define DETACH_NONE                                                                                \
	{                                                                                          \
		.ready = -1                                                                        \
	}

/*
 * Forks the keeper and the guest's process. Returns 1 in the guest's process, which goes on to start
 * the guest; 0 in the caller's, once the guest runs or has failed, with @guest and @status set;
 * or -errno after an error message. @name: the guest's, NULL: guest-PID; @log: NULL: see
 * turned_log_default().
 */
int detach_start(struct detach *detach, const char *name, const char *log);

/*
 * For the guest's process: the guest is about to run. Passes on @listener, the console's socket,
 * which it closes. From now on standard error goes to the log alone.
 */
void detach_ready(struct detach *detach, int listener);

/* What keeper.c needs to know. Its process ends with the guest's. */
struct keeper_ends {
	pid_t guest;
	int output; /* of the guest's standard output and error; pipes, non-blocking */
	int errors;
	int input;  /* of its standard input */
	int ready;  /* a socket, which brings the console's */
	int caller; /* a socket to the process that the user waits for */
};
/* What the keeper tells the caller. */
struct detach_result {
	int32_t guest;
	int32_t status;
};
_Noreturn void detach_keep(const struct keeper_ends *ends, const char *name, const char *log);

#endif
