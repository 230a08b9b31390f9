/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In which pieces and in which order tests/bench/discard gives memory back. Both halves take them
 * from here, the guest (tests/payload/discard.c) and the bare loop of madvise() (discard_limit.c),
 * so that they do the same.
 */
#ifndef EBB_TESTS_BENCH_DISCARD_PATTERNS_H
#define EBB_TESTS_BENCH_DISCARD_PATTERNS_H

#include <stdbool.h>
#include <stdint.h>

#define PATTERN_CHAIN_MAX 256

struct pattern {
	const char *name;
	uint64_t block;	     /* bytes */
	unsigned int blocks; /* in a chain: 32 in a report by Linux, 256 in its inflate */
	unsigned int chains; /* that one doorbell announces */
	bool shuffled;	   /* within a chain: neighbours are there, but do not stand side by side */
	bool scattered;	   /* every second block only: no two are neighbours */
	bool inflate;	   /* by page numbers, into the balloon; else reported free */
	unsigned int part; /* of all the bytes, where not 0: what is slow gives back less */
};

static const struct pattern patterns[] = {
	{"report-4K-alone", 4096, 1, 1, false, true, false, 64},
	{"report-4K-contiguous", 4096, 32, 1, false, false, false, 0},
	{"report-4K-shuffled", 4096, 32, 1, true, false, false, 0},
	{"report-4K-scattered", 4096, 32, 1, false, true, false, 0},
	{"report-64K-contiguous", 65536, 32, 1, false, false, false, 0},
	{"report-64K-shuffled", 65536, 32, 1, true, false, false, 0},
	{"report-64K-scattered", 65536, 32, 1, false, true, false, 0},
	{"report-64K-chain-each", 65536, 1, 32, false, true, false, 0},
	{"report-2M-contiguous", 2097152, 32, 1, false, false, false, 0},
	{"report-2M-shuffled", 2097152, 32, 1, true, false, false, 0},
	{"report-2M-scattered", 2097152, 32, 1, false, true, false, 0},
	{"inflate-4K-contiguous", 4096, 256, 1, false, false, true, 0},
	{"inflate-4K-shuffled", 4096, 256, 1, true, false, true, 0},
	{"inflate-4K-scattered", 4096, 256, 1, false, true, true, 0},
};

#define PATTERNS (sizeof(patterns) / sizeof(patterns[0]))

/* How many blocks are given back, of @bytes in all. */
static inline uint64_t pattern_blocks(const struct pattern *pattern, uint64_t bytes)
{
	return bytes / (pattern->part ? pattern->part : 1) / pattern->block;
}

/* How far from one block to the next. */
static inline uint64_t pattern_step(const struct pattern *pattern)
{
	return pattern->block << pattern->scattered;
}

/* Where block @i begins, in the order in which they are given back. A chain holds a power of 2. */
static inline uint64_t pattern_offset(const struct pattern *pattern, uint64_t i)
{
	uint64_t in_chain = i % pattern->blocks;
	if (pattern->shuffled)
		i += (in_chain * 13 + 5) % pattern->blocks - in_chain;
	return i * pattern_step(pattern);
}

#endif
