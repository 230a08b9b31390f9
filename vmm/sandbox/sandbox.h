/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gives up what a guest could misuse if it took over ebb: README.md has the numbered phases. None can
 * be undone, and each is left out with --sandbox=off.
 *
 * Thread: main, before any other thread starts: each has its own capabilities, and inherits its
 * parent's. Both calls return 0, or -errno after an error message.
 */
#ifndef EBB_SANDBOX_SANDBOX_H
#define EBB_SANDBOX_SANDBOX_H

/* Before there is anything of a guest in ebb's memory. */
int sandbox_begin(void);

/* After everything has been opened that needs a name or a privilege. */
int sandbox_enter(void);

#endif
