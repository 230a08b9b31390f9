/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wakes a loop by an eventfd that another thread rings, or by a timerfd. Both are file descriptors,
 * non-blocking and closed on exec, that the caller closes. Put one into a loop_source, whose
 * callback calls wake_take() first.
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

/* Rings the eventfd @fd. Never blocks and never fails: if the counter is full, it rings already. */
void wake_ring(int fd);

/* Returns whether @fd has rung, once or more, since the last call. */
bool wake_take(int fd);

/* Sets the timer @fd to ring once, at @ns of clock_ns(); 0 stops it. Returns 0 or -errno. */
int wake_timer_at(int fd, uint64_t ns);

/* Sets the timer @fd to ring every @seconds from now on; 0 stops it. Returns 0 or -errno. */
int wake_timer_every(int fd, unsigned int seconds);

#endif
