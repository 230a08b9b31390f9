/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate before every discard: many pass at once, unless somebody holds it shut. Shutting counts,
 * so that two who need it shut do not have to know of each other.
 *
 * Owned by struct ram, which its copies share. Thread: any, but for new and free.
 */
#ifndef EBB_MEM_GATE_H
#define EBB_MEM_GATE_H

#include <stdbool.h>

struct gate;

/* NULL when there is no memory for it. */
struct gate *gate_new(void);
/* Nobody is inside, or will come; NULL is nothing to free. */
void gate_free(struct gate *gate);

/* True: inside, and gate_leave() must follow. False: it is shut, and nobody waited. */
bool gate_enter(struct gate *gate);
void gate_leave(struct gate *gate);

/*
 * Once gate_shut() is back, nobody is inside nor comes in until gate_unshut() has been called as
 * often. It waits for those who are inside; who is inside must not call it.
 */
void gate_shut(struct gate *gate);
void gate_unshut(struct gate *gate);

/* How often it is shut now. */
unsigned int gate_shuts(struct gate *gate);

#endif
