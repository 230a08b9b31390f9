/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that work for the user who waits, without standard input: they say what they have to say on standard error.
 *
 * Thread: main, of a process that has no other and holds SIGINT, SIGTERM and SIGHUP back (end_signals.h). Source:
 * posix_spawn(3), waitpid(2).
 */
#ifndef EBB_LIB_PROGRAM_H
#define EBB_LIB_PROGRAM_H

#include <signal.h>

struct program {
	const char *file;     /* looked for in PATH, if it has no slash */
	char *const *argv;    /* the last is NULL */
	int output;	      /* what becomes its standard output; -1: nothing is kept of that */
	int keep;	      /* stays open until the last process of it has ended; -1: none */
	const sigset_t *mask; /* of signals */
	int limit_ms;	      /* then it is ended; 0: none, for one that the user waits for */
};

/*
 * Runs a program to its end, in a group of processes of its own. If a signal comes that is held back, or the limit is
 * reached, the group is ended. Returns the exit status, 128 and a signal's number, -EINTR, -ETIMEDOUT, or another -errno.
 */
int program_run(const struct program *program);

#endif
