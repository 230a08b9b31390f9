/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gives up root's privileges, which Linux has in pieces.
 *
 * Thread: main, before others start, which inherit it. Source: capabilities(7), capget(2).
 */
#ifndef EBB_SANDBOX_CAPABILITIES_H
#define EBB_SANDBOX_CAPABILITIES_H

#include <stdbool.h>

/* Returns 0, or -EPERM if any is left. */
int capabilities_drop(void);

/*
 * Returns whether the calling thread has any: in use, one that it may take into use again, or one for a program that it
 * runs. (An ambient one is among both of the latter.)
 */
bool capabilities_left(void);

#endif
