/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the proofs share: README.md. CBMC takes a function without a body to return any value; an assumption leaves out
 * the inputs that the function under proof is not called with.
 */
#ifndef EBB_TEST_PROVE_H
#define EBB_TEST_PROVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void __CPROVER_assume(bool holds);
void __CPROVER_assert(bool holds, const char *what);

#define ASSUME(condition) __CPROVER_assume(condition)
#define PROVE(condition)  __CPROVER_assert(condition, #condition)

uint8_t nondet_u8(void);
uint16_t nondet_u16(void);
uint32_t nondet_u32(void);
uint64_t nondet_u64(void);
bool nondet_bool(void);

/* An address or a length near either end, where sums wrap: for properties that take too long for any 64 bits. */
static inline uint64_t nondet_edge(void)
{
	uint64_t small = nondet_u8();
	return nondet_bool() ? small : UINT64_MAX - small;
}

/* In place of qsort(3), which CBMC does not have: a function NAME that sorts elements of TYPE, by exchanging neighbours. */
#define PROVE_SORT(NAME, TYPE)                                                                     \
	static void NAME(TYPE *at, size_t n, int (*compare)(const void *a, const void *b))         \
	{                                                                                          \
		for (size_t i = 1; i < n; i++)                                                     \
			for (size_t j = 1; j < n; j++)                                             \
				if (compare(&at[j - 1], &at[j]) > 0) {                             \
					TYPE other = at[j];                                        \
					at[j] = at[j - 1];                                         \
					at[j - 1] = other;                                         \
				}                                                                  \
	}
#define qsort(base, n, size, compare) sort(base, n, compare)

#endif
