// SPDX-License-Identifier: Apache-2.0
/*
 * noise SIZE SEED [BITS]: writes SIZE pseudo-random bytes to stdout, the same everywhere for the same SEED.
 *
 * Of each byte BITS bits (8) are random, the others are zero: with 8 no packer makes the data smaller, with 2 a
 * good one makes it a quarter.
 */
#include "guest/workloads/workload.h"

#define WORDS 8192

/* The generator splitmix64: any state is good, even zero. */
static uint64_t next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

int main(int argc, char **argv)
{
	static const uint64_t every_byte = 0x0101010101010101;
	unsigned long seed, bits = 8;
	uint64_t block[WORDS], state, mask;
	size_t left;

	if (argc < 3 || argc > 4 || size_parse(argv[1], &left) || count_parse(argv[2], 0, &seed) ||
	    (argc == 4 && count_parse(argv[3], 1, &bits)) || bits > 8) {
		fputs("usage: noise SIZE SEED [BITS]\n", stderr);
		return 2;
	}
	state = seed;
	mask = every_byte * ((1u << bits) - 1);
	while (left > 0) {
		size_t part = left < sizeof(block) ? left : sizeof(block);

		for (size_t i = 0; i < WORDS; i++)
			block[i] = next(&state) & mask;
		if (fwrite(block, 1, part, stdout) != part)
			fail("noise", "cannot write");
		left -= part;
	}
	if (fflush(stdout))
		fail("noise", "cannot write");
	return 0;
}
