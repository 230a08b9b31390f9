// SPDX-License-Identifier: Apache-2.0
/*
 * burst: takes no memory for a while, then much at once, like a server that answers a request now and then.
 *
 *   burst SIZE --bursts N [--hold SECONDS] [--rest SECONDS] [--seed N]
 *
 * A burst takes a random part of SIZE (a quarter at least) in pieces of 64 KiB to 4 MiB, writes to every page, keeps it
 * for --hold seconds (0.5), checks what was written, and frees every piece; then it rests for a random time, --rest
 * seconds (2) on average. Prints "burst: I took N MiB in U us" for each, and "burst: ok N MiB checked" at the end. At a
 * mismatch prints "burst: BAD page …" and exits with status 1.
 */
#include <getopt.h>

#include "workload.h"

#define SMALLEST ((size_t)64 << 10)
#define PIECES	 16384

struct burst {
	size_t size;
	unsigned long bursts;
	uint64_t hold_us, rest_us;
	unsigned long seed;
	uint64_t random;
	uint64_t checked;
};

struct piece {
	uint64_t *mem;
	size_t size;
};

static void usage(void)
{
	fputs("usage: burst SIZE --bursts N [--hold SECONDS] [--rest SECONDS] [--seed N]\n",
	      stderr);
	exit(2);
}

static void burst_parse(struct burst *b, int argc, char **argv)
{
	enum { BURSTS = OPT_OWN, HOLD, REST, SEED };
	static const struct option options[] = {
		{"bursts", required_argument, NULL, BURSTS},
		{"hold", required_argument, NULL, HOLD},
		{"rest", required_argument, NULL, REST},
		{"seed", required_argument, NULL, SEED},
		{NULL, 0, NULL, 0},
	};
	int bad = 0;
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case BURSTS:
			bad |= count_parse(optarg, 1, &b->bursts);
			break;
		case HOLD:
			bad |= time_parse(optarg, 1e6, &b->hold_us);
			break;
		case REST:
			bad |= time_parse(optarg, 1e6, &b->rest_us);
			break;
		case SEED:
			bad |= count_parse(optarg, 0, &b->seed);
			break;
		default:
			usage();
		}
	}
	if (bad || !b->bursts || optind != argc - 1 || size_parse(argv[optind], &b->size) ||
	    b->size < 4 * SMALLEST || b->size / SMALLEST > PIECES)
		usage();
}

/* splitmix64. */
static uint64_t random_next(struct burst *b)
{
	uint64_t x = b->random += 0x9e3779b97f4a7c15;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

static uint64_t pattern(const uint64_t *word, uint64_t salt)
{
	return ((uint64_t)(uintptr_t)word ^ salt) * 0x9e3779b97f4a7c15 | 1;
}

static void piece_take(struct piece *piece, uint64_t salt)
{
	size_t words = page_size() / sizeof(uint64_t);

	piece->mem = memory_take(piece->size, PAGES_DEFAULT);
	if (!piece->mem)
		fail("burst", "cannot map memory");
	for (size_t at = 0; at < piece->size / sizeof(uint64_t); at += words)
		piece->mem[at] = pattern(&piece->mem[at], salt);
}

static void piece_check(const struct piece *piece, uint64_t salt)
{
	size_t words = page_size() / sizeof(uint64_t);

	for (size_t at = 0; at < piece->size / sizeof(uint64_t); at += words) {
		if (piece->mem[at] == pattern(&piece->mem[at], salt))
			continue;
		printf("burst: BAD page %p expected %llx found %llx\n", (void *)&piece->mem[at],
		       (unsigned long long)pattern(&piece->mem[at], salt),
		       (unsigned long long)piece->mem[at]);
		exit(1);
	}
}

static void burst(struct burst *b, struct piece *pieces, unsigned long number)
{
	uint64_t start = now_us();
	uint64_t salt = random_next(b);
	size_t goal = b->size / 4 + random_next(b) % (b->size - b->size / 4);
	size_t taken = 0, count = 0;

	while (taken + SMALLEST <= goal && count < PIECES) {
		size_t size = SMALLEST << random_next(b) % 7;

		pieces[count].size = size < goal - taken ? size : SMALLEST;
		piece_take(&pieces[count], salt);
		taken += pieces[count++].size;
	}
	printf("burst: %lu took %zu MiB in %llu us\n", number, taken / MIB,
	       (unsigned long long)(now_us() - start));
	sleep_us(b->hold_us);
	while (count--) {
		piece_check(&pieces[count], salt);
		munmap(pieces[count].mem, pieces[count].size);
	}
	b->checked += taken;
	sleep_us(b->rest_us ? random_next(b) % (2 * b->rest_us) : 0);
}

int main(int argc, char **argv)
{
	struct burst b = {.hold_us = 500000, .rest_us = 2000000, .seed = 1};
	struct piece *pieces = memory_take(PIECES * sizeof(*pieces), PAGES_SMALL);

	setvbuf(stdout, NULL, _IOLBF, 0);
	burst_parse(&b, argc, argv);
	if (!pieces)
		fail("burst", "cannot map memory");
	b.random = b.seed;
	for (unsigned long i = 1; i <= b.bursts; i++)
		burst(&b, pieces, i);
	printf("burst: ok %llu MiB checked\n", (unsigned long long)(b.checked / MIB));
	return 0;
}
