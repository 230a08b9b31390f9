/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process that was forked from ebb and does one thing beside it, without becoming another program.
 *
 * Thread: the child's only one. Source: fork(2), close_range(2).
 */
#ifndef EBB_LIB_CHILD_H
#define EBB_LIB_CHILD_H

#include <signal.h>
#include <stdbool.h>

/* Where child_begin() puts the one descriptor that the child keeps. */
#define CHILD_CONTROL 3

/*
 * Gives up everything of ebb's: all descriptors but @control, which becomes CHILD_CONTROL, closed on exec;
 * handlers of signals, of which those in @blocked are blocked from now on; the terminal, whose keys may
 * not end the child before ebb. The standard streams lead nowhere, but for standard error if the child @speaks.
 * The process is called @name (15 bytes).
 */
void child_begin(const char *name, int control, const sigset_t *blocked, bool speaks);

#endif
