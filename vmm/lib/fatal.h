/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is done last when the process dies of a fault: SIGSEGV and its like, and SIGBUS.
 *
 * What was registered is undone, the reason is said, and then the signal does what it did before, so
 * that a parent sees it. A SIGBUS in memory of the guest is no fault of
 * ours: the host has lost or refused a page of it. Nothing can go on then. To read zeros instead, as
 * a fresh page would give, could bring these zeros to the guest's disk; so the process ends there
 * and then, on whichever thread and with whichever locks, with the status of a failed guest.
 *
 * Thread: main, before others are started and after they have ended. Source: signal-safety(7),
 * sigaction(2).
 */
#ifndef EBB_LIB_FATAL_H
#define EBB_LIB_FATAL_H

#include <stddef.h>

/* The status of ebb that a guest's failure has; see vmm/cmd/cmd.h. */
#define FATAL_GUEST_FAILED 1

/* Takes the signals; each call wants its own fatal_give_back(). */
void fatal_take(void);
void fatal_give_back(void);

/* Something to undo. Owned by the caller, in place until it is removed; both calls do nothing twice. */
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
