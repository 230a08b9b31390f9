/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals that would end ebb, read from a descriptor by the loop, so that an end by signal is as
 * orderly as any other: the terminal restored, the name and the socket gone.
 *
 * SIGHUP, SIGINT and SIGTERM are requests to end. Every other signal that ends a process by default
 * is told in words, and after all is torn down ebb dies of it, so that its parent sees which it was.
 * A signal that was ignored when ebb started stays ignored: nohup and a shell's background jobs
 * mean it. Faults (SIGSEGV and its like) are not read here.
 *
 * Thread: main, before any other is started: they inherit the mask.
 * Source: signal(7), signalfd(2); POSIX on asynchronous lists of the shell.
 */
#ifndef EBB_MACHINE_SIGNALS_H
#define EBB_MACHINE_SIGNALS_H

#include "vmm/lib/loop.h"

struct signals {
	struct loop_source source;
	int fatal; /* the signal to die of, or 0 */
	/* On the loop's thread. */
	void (*end)(void *ctx);
	void (*continued)(void *ctx); /* SIGCONT */
	void *ctx;
};

/*
 * First of all: blocks these signals, for this thread and all to come, so that none ends ebb with something
 * left behind; they wait for signals_init(). Returns 0 or -errno, having said what is wrong.
 */
int signals_hold(void);

/* Fill in @end, @continued and @ctx before. Returns likewise. */
int signals_init(struct signals *signals, struct loop *loop);
void signals_release(struct signals *signals);

/* Last of all: dies of signals->fatal, so that the parent sees it. 0 is none: returns. */
void signals_die(int number);

#endif
