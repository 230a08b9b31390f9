/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much of something may be had per second: a bucket that fills at a rate, up to a brim, and is spent
 * from. Pure: the time is the caller's, ns of clock_ns().
 *
 * Thread: none of its own; its owner's lock covers it.
 */
#ifndef EBB_LIB_PACE_H
#define EBB_LIB_PACE_H

#include <stdint.h>

struct pace {
	uint64_t rate;	/* per second, 1 to 2^32 */
	uint64_t burst; /* the brim, 1 to 2^32 */
	uint64_t left;	/* at the time `at` */
	uint64_t at;
};

/* Full at @now. */
struct pace pace_start(uint64_t rate, uint64_t burst, uint64_t now);

/* Returns what may be spent at @now. */
uint64_t pace_left(struct pace *pace, uint64_t now);

/* Spends @amount of what pace_left() returned. */
void pace_spend(struct pace *pace, uint64_t amount);

/* Returns when @amount (up to the brim) may be spent, no earlier than the last time that it was told. */
uint64_t pace_when(const struct pace *pace, uint64_t amount);

#endif
