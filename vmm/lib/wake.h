/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What wakes a loop: an eventfd that another thread rings, or a timerfd. Both are file descriptors
 * that their opener closes, non-blocking and closed on exec, to be put into a loop_source; its
 * callback takes the wake-up first.
 *
 * Thread: any. Source: eventfd(2), timerfd_create(2).
 */
#ifndef EBB_LIB_WAKE_H
#define EBB_LIB_WAKE_H

#include <stdbool.h>
#include <stdint.h>

/* Return the descriptor or -errno. */
int wake_open(void);
int wake_timer_open(void);

/* Rings the eventfd @fd. Never blocks and never fails: a full counter means that it rings already. */
void wake_ring(int fd);

/* Returns whether @fd has rung since this was last asked; however often, that counts as once. */
bool wake_take(int fd);

/* Has the timer @fd ring at @ns of clock_ns(), once; 0 stops it. Returns 0 or -errno. */
int wake_timer_at(int fd, uint64_t ns);

/* Has the timer @fd ring every @seconds from now on; 0 stops it. Returns 0 or -errno. */
int wake_timer_every(int fd, unsigned int seconds);

#endif
