/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals that would end ebb. The loop reads them from a descriptor, so that an end by a signal is as
 * orderly as any other: the terminal is restored, the name and the socket are removed.
 *
 * SIGHUP, SIGINT and SIGTERM are requests to end. Every other signal that ends a process by default
 * is logged; once all is released, the signal ends ebb, so that its parent sees which one it was. A
 * signal that was ignored when ebb started stays ignored: nohup and a shell's background jobs rely
 * on it. Faults (SIGSEGV and the like) are not read here.
 *
 * Thread: main, before any other thread starts: those inherit the mask.
 * Source: signal(7), signalfd(2); POSIX on the shell's asynchronous lists.
 */
#ifndef EBB_MACHINE_SIGNALS_H
#define EBB_MACHINE_SIGNALS_H

#include "vmm/lib/loop.h"

struct signals {
	struct loop_source source;
	int fatal; /* the signal that must end ebb, or 0 */
	/* On the loop's thread. */
	void (*end)(void *ctx);
	void (*continued)(void *ctx); /* SIGCONT */
	void (*resized)(void *ctx);   /* SIGWINCH */
	void *ctx;
};

/*
 * Blocks these signals for this thread and the threads that it starts, so that no signal ends ebb
 * before it has cleaned up; they stay pending until signals_init(). Call it first of all. Returns
 * 0, or -errno after an error message.
 */
int signals_hold(void);

/* Fill in the functions and @ctx first. Returns 0, or -errno after an error message. */
int signals_init(struct signals *signals, struct loop *loop);
void signals_release(struct signals *signals);

/*
 * Ends the process by signal @number (signals->fatal), so that the parent sees it; returns if
 * @number is 0. Call it last of all.
 */
void signals_die(int number);

#endif
