/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gives up ebb's privileges before a guest runs: see the numbered phases in sandbox.c.
 *
 * Thread: main, once, before any other thread starts (each thread has its own capabilities, and
 * inherits its parent's), and after everything that needs privileges has been opened.
 */
#ifndef EBB_SANDBOX_SANDBOX_H
#define EBB_SANDBOX_SANDBOX_H

/* Returns 0, or -errno after an error message. Cannot be undone. */
int sandbox_enter(void);

#endif
