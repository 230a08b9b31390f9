/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate before every discard: many pass at once, unless somebody holds it shut. Shutting counts,
 * so that two who need it shut do not have to know of each other.
 *
 * Owned by struct ram, which its copies share. Thread: any, but for new and free.
 */
#ifndef EBB_MEM_DISCARD_GATE_H
#define EBB_MEM_DISCARD_GATE_H

#include <stdbool.h>

struct discard_gate;

/* NULL when there is no memory for it. */
struct discard_gate *discard_gate_new(void);
/* Nobody is inside, or will come; NULL is nothing to free. */
void discard_gate_free(struct discard_gate *gate);

/* True: inside, and discard_gate_leave() must follow. False: it is shut, and nobody waited. */
bool discard_gate_enter(struct discard_gate *gate);
void discard_gate_leave(struct discard_gate *gate);

/*
 * Once discard_gate_close() is back, nobody is inside nor comes in until discard_gate_open() has been called as
 * often. It waits for those who are inside; who is inside must not call it.
 */
void discard_gate_close(struct discard_gate *gate);
void discard_gate_open(struct discard_gate *gate);

/* How often it is shut now. */
unsigned int discard_gate_closes(struct discard_gate *gate);

#endif
