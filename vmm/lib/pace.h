/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits how much may be spent per second: a bucket that fills at a rate, up to a limit. Pure: the
 * caller passes the time, in ns of clock_ns().
 *
 * Thread: none of its own; its owner's lock covers it.
 */
#ifndef EBB_LIB_PACE_H
#define EBB_LIB_PACE_H

#include <stdint.h>

struct pace {
	uint64_t rate;	/* per second, 1 to 2^32 */
	uint64_t burst; /* the most that the bucket holds, 1 to 2^32 */
	uint64_t left;	/* at the time `at` */
	uint64_t at;
};

/* Returns a bucket that is full at @now. */
struct pace pace_start(uint64_t rate, uint64_t burst, uint64_t now);

/* Returns how much may be spent at @now. */
uint64_t pace_left(struct pace *pace, uint64_t now);

/* Spends @amount, at most the value that pace_left() returned. */
void pace_spend(struct pace *pace, uint64_t amount);

/* Returns when @amount (up to the burst) may be spent; not before the last time passed in. */
uint64_t pace_when(const struct pace *pace, uint64_t amount);

#endif
