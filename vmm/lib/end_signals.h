/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The signals that ask a command to end: SIGINT, SIGTERM, SIGHUP. One that was ignored when ebb was started stays so: nohup
 * and a shell's background jobs rely on it.
 *
 * Thread: main, before others start. Source: sigprocmask(2); POSIX on nohup, and on the shell's asynchronous lists.
 */
#ifndef EBB_LIB_END_SIGNALS_H
#define EBB_LIB_END_SIGNALS_H

#include <signal.h>

/* Sets @set to all of them, also those that are ignored. */
void end_signals(sigset_t *set);

/*
 * Holds them back from now on: @held, for a signalfd, are those that are not ignored. @before becomes the mask that was
 * there, for programs; it may be NULL.
 */
void end_signals_hold(sigset_t *held, sigset_t *before);

#endif
