/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sums with sizes and counters. Pure. Thread: any.
 */
#ifndef EBB_LIB_SIZES_H
#define EBB_LIB_SIZES_H

#include <stdint.h>

static inline uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Returns @a - @b, never below 0: a peer's figures may be anything. */
static inline uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

#endif
