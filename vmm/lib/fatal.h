/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last steps when the process dies of a fault: SIGSEGV and similar signals, and SIGBUS.
 *
 * The main thread runs the registered undo functions, prints the reason, and lets the signal take its
 * previous action, so that the parent sees it; where that is to ignore it, the process ends with the
 * status of a failed guest. Another thread that faults interrupts it, and waits for the
 * end: so its filter (vmm/sandbox) needs nothing of what they do. A SIGBUS in memory of the guest is not a fault of
 * ebb: the host has lost or refused a page of it. The guest cannot continue then: zeros in place of
 * the page could reach the guest's disk. So the process ends, with any locks held and the status of a failed
 * guest, when the main thread takes the signal, or ten seconds after another thread's fault.
 *
 * Thread: main, before others are started and after they have ended. Source: signal-safety(7),
 * sigaction(2).
 */
#ifndef EBB_LIB_FATAL_H
#define EBB_LIB_FATAL_H

#include <stddef.h>

/* The exit status of ebb when the guest fails; see vmm/cmd/cmd.h. */
#define FATAL_GUEST_FAILED 1

/*
 * Installs the handlers, and makes the caller the main thread; each call needs its own fatal_give_back(). The handler of
 * SIGSYS stays, for one signal.
 */
void fatal_take(void);
void fatal_give_back(void);

/* Names the calling thread, for the line that says what it died of. @name stays where it is while the thread runs. Any thread. */
void fatal_name(const char *name);

/*
 * An undo function. The caller owns it and keeps it in place until it is removed. Both calls may be
 * repeated.
 */
struct fatal_undo {
	void (*undo)(void *ctx); /* in a signal handler: only what signal-safety(7) allows */
	void *ctx;
	struct fatal_undo *next;
};
void fatal_undo_add(struct fatal_undo *undo);
void fatal_undo_remove(struct fatal_undo *undo);

/* Memory of the guest, and a line that says why the host refuses a page of it. Likewise. */
struct fatal_memory {
	const void *start;
	size_t len;
	const char *why;
	struct fatal_memory *next;
};
void fatal_memory_add(struct fatal_memory *memory);
void fatal_memory_remove(struct fatal_memory *memory);

#endif
