/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate before every discard: many threads pass at once, unless it is closed. It counts how
 * often it is closed, so that two threads that close it need not know of each other.
 *
 * Owner: struct ram, whose copies share it. Thread: any, but main for new and free.
 */
#ifndef EBB_MEM_DISCARD_GATE_H
#define EBB_MEM_DISCARD_GATE_H

#include <stdbool.h>

struct discard_gate;

/* Returns an open gate, or NULL if no memory is left. */
struct discard_gate *discard_gate_new(void);
/* @gate may be NULL. No thread may be inside, or enter later. */
void discard_gate_free(struct discard_gate *gate);

/* Never waits. Returns true if inside: discard_gate_leave() must follow; or false if closed. */
bool discard_gate_enter(struct discard_gate *gate);
void discard_gate_leave(struct discard_gate *gate);

/*
 * discard_gate_close() waits until no thread is inside; then no thread enters until
 * discard_gate_open() has been called as often. A thread that is inside must not close the gate.
 */
void discard_gate_close(struct discard_gate *gate);
void discard_gate_open(struct discard_gate *gate);

/* Returns the number of closes that have not been undone. */
unsigned int discard_gate_closes(struct discard_gate *gate);

#endif
