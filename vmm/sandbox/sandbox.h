/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ebb gives up before it lets a stranger's code run: see the numbered phases in sandbox.c.
 *
 * Thread: main, once, before any other thread is started (capabilities are a thread's own, and a new
 * thread starts with its parent's), and after all that may need more has been opened.
 */
#ifndef EBB_SANDBOX_SANDBOX_H
#define EBB_SANDBOX_SANDBOX_H

/* Returns 0, or -errno having said what could not be given up. There is no way back. */
int sandbox_enter(void);

#endif
