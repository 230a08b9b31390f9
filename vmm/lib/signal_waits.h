/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells whether ebb was asked to end while the machine is built: the signals that ask for it are
 * blocked until the loop reads them (machine/signals.h). Long work on the main thread before that
 * calls this from time to time.
 *
 * Thread: main. Source: sigpending(2).
 */
#ifndef EBB_LIB_SIGNAL_WAITS_H
#define EBB_LIB_SIGNAL_WAITS_H

#include <signal.h>
#include <stdbool.h>

/* SIGCONT and SIGWINCH are blocked, too, but do not ask ebb to end. */
static inline bool signal_waits(void)
{
	sigset_t set;
	if (sigpending(&set) != 0)
		return false;
	sigdelset(&set, SIGCONT);
	sigdelset(&set, SIGWINCH);
	return !sigisemptyset(&set);
}

/* The same for a process that passes the others on to a command (vmm/agent): only those of end_signals.h count. */
static inline bool end_signal_waits(void)
{
	sigset_t set;
	return sigpending(&set) == 0 && (sigismember(&set, SIGINT) || sigismember(&set, SIGTERM) ||
					 sigismember(&set, SIGHUP));
}

#endif
