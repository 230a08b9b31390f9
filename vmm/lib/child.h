/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process that was forked from ebb and does one thing beside it, without becoming another program.
 *
 * Thread: the child's only one for child_begin(), its parent's main for the others. Source: fork(2), close_range(2).
 */
#ifndef EBB_LIB_CHILD_H
#define EBB_LIB_CHILD_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

/* Where child_begin() puts the one descriptor that the child keeps. */
#define CHILD_CONTROL 3

/*
 * Gives up everything of ebb's: all descriptors but @control, which becomes CHILD_CONTROL, closed on exec;
 * handlers of signals, of which those in @blocked are blocked from now on; the terminal, whose keys may
 * not end the child before ebb. The standard streams lead nowhere, but for standard error if the child @speaks, which no
 * reader that leaves then ends.
 * The process is called @name (15 bytes).
 */
void child_begin(const char *name, int control, const sigset_t *blocked, bool speaks);

/* Such a process, as its parent knows it. */
struct child {
	int control; /* a socket (SOCK_SEQPACKET) to it, which it sees closed when its parent ends; -1: none */
	pid_t process; /* 0: none */
	int pidfd;     /* its own, if there is one */
};

#define CHILD_NONE ((struct child){.control = -1})

/* Forks. The child calls @run with @ctx and its end of the socket. Returns 0 or -errno. */
int child_start(struct child *child, void (*run)(const void *ctx, int control), const void *ctx);
/* Closes the socket, and waits for the child's end, a second at most: then it is killed. Accepts a zeroed struct. */
void child_stop(struct child *child);

#endif
