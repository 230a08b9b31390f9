/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that work for the user who waits: they say what they have to say on standard error.
 *
 * Thread: main, of a process that has no other and holds SIGINT, SIGTERM and SIGHUP back (sigprocmask()). Source:
 * posix_spawn(3), waitpid(2).
 */
#ifndef EBB_IMAGES_PROGRAM_H
#define EBB_IMAGES_PROGRAM_H

#include <signal.h>

/*
 * Runs @argv to its end, in a group of processes of its own, with the signal mask @mask, no standard input, and the
 * descriptor @keep, which stays open until the last process of them has ended. If a signal comes that is held back, the
 * group is ended. Returns the exit status, 128 and a signal's number, -EINTR, or another -errno.
 */
int program_run(char *const argv[], int keep, const sigset_t *mask);

#endif
