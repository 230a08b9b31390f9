/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The terminal that ebb was started on: raw while a guest has it, and restored on every way out,
 * exit() and fatal signals included.
 *
 * Thread: main, except for the signal handler inside.
 */
#ifndef EBB_LIB_TERMINAL_H
#define EBB_LIB_TERMINAL_H

#include <stdbool.h>

/*
 * Returns whether @fd is a terminal and ebb is in its foreground; otherwise reading or changing it
 * would stop ebb.
 */
bool terminal_is_ours(int fd);

/*
 * Makes the terminal @fd raw, or raw again after a stop. @fd stays open until terminal_restore().
 * Returns 0 or -errno: -ENOTTY if terminal_is_ours() is false, -EBUSY if another one is raw.
 */
int terminal_raw(int fd);

/*
 * Waits for answers of the terminal itself to the guest's last output, such as its kind or the
 * cursor's position, and discards them: a shell would take them for typed input. All input that
 * comes within a quarter of a second of the previous one counts as an answer; the limit is one
 * second. Call it if the guest has written an ESC: a terminal answers only escape sequences (and
 * ENQ, but few terminals do). Does nothing if no terminal is raw.
 */
void terminal_discard_answers(void);

/*
 * Discards input that was typed for the guest and not read. Restores the settings saved by
 * terminal_raw(), if any.
 */
void terminal_restore(void);

#endif
