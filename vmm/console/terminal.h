/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The terminal that ebb was started on: raw while a guest has it, and put back on every way out,
 * exit() and fatal signals included.
 *
 * Thread: main, but for the signal handler inside.
 */
#ifndef EBB_CONSOLE_TERMINAL_H
#define EBB_CONSOLE_TERMINAL_H

#include <stdbool.h>

/* Whether @fd is a terminal and we are its foreground: else to read it or to set it would stop us.
 */
bool terminal_is_ours(int fd);

/*
 * Makes the terminal @fd raw, or raw again after a stop. @fd stays open until terminal_restore().
 * Returns 0 or -errno: -ENOTTY where it is not ours, -EBUSY when another one is raw.
 */
int terminal_raw(int fd);

/*
 * Waits for what the terminal itself still answers to the guest's last output, such as its kind or
 * the cursor's place, and throws it away: a shell would take it for typed. An answer is recognized
 * by coming at all, within a quarter of a second of the one before; a second is the limit. For a
 * guest that has written an ESC, without which a terminal is asked nothing (but ENQ, which few
 * answer). Nothing where no terminal is raw.
 */
void terminal_discard_answers(void);

/* Throws away what was typed for the guest and not read. Puts back what terminal_raw() found; nothing to do is no mistake. */
void terminal_restore(void);

#endif
