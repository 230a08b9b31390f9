// SPDX-License-Identifier: Apache-2.0
/*
 * breathe: a working set that grows and shrinks, as a database's does with its load, and is in use all the time.
 *
 *   breathe SIZE --low SIZE --turns N [--rest MS] [--seed N]
 *
 * Memory is in chunks of 1 MiB. Each turn takes chunks, one after the other, up to SIZE, then drops random chunks down
 * to --low. After each of these steps it checks that random pages hold the last value written there, writes every second
 * one again, and rests for --rest milliseconds (5). A page must be zero when it is taken, and is checked once more
 * before it is dropped. The steps do not depend on the speed of the machine.
 *
 * Prints "breathe: high N MiB" and "breathe: low N MiB" in each turn. At the end drops everything and prints
 * "breathe: ok N pages checked". At a mismatch prints "breathe: BAD page at OFFSET expected E found F" and exits with
 * status 1.
 */
#include <getopt.h>

#include "workload.h"

#define CHUNK MIB
#define LOOKS 64 /* pages checked after each step */

struct breathe {
	size_t chunks, low; /* in chunks, as `used` is */
	unsigned long turns;
	uint64_t rest_us;
	unsigned long seed;
	uint64_t random;
	unsigned char *mem;
	uint32_t *order; /* a permutation: the first `used` are in use */
	size_t used;
	uint32_t *version; /* of each page: the last value written; 0: none yet */
	uint64_t checked;
};

static void usage(void)
{
	fputs("usage: breathe SIZE --low SIZE --turns N [--rest MS] [--seed N]\n", stderr);
	exit(2);
}

static void breathe_parse(struct breathe *b, int argc, char **argv)
{
	enum { LOW = OPT_OWN, TURNS, REST, SEED };
	static const struct option options[] = {
		{"low", required_argument, NULL, LOW},
		{"turns", required_argument, NULL, TURNS},
		{"rest", required_argument, NULL, REST},
		{"seed", required_argument, NULL, SEED},
		{NULL, 0, NULL, 0},
	};
	size_t size = 0, low = 0;
	int bad = 0;
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case LOW:
			bad |= size_parse(optarg, &low);
			break;
		case TURNS:
			bad |= count_parse(optarg, 1, &b->turns);
			break;
		case REST:
			bad |= time_parse(optarg, 1e3, &b->rest_us);
			break;
		case SEED:
			bad |= count_parse(optarg, 0, &b->seed);
			break;
		default:
			usage();
		}
	}
	if (bad || optind != argc - 1 || size_parse(argv[optind], &size))
		usage();
	b->chunks = size / CHUNK;
	b->low = low / CHUNK;
	if (!b->low || b->low >= b->chunks || b->chunks > UINT32_MAX || !b->turns)
		usage();
}

/* splitmix64. */
static uint64_t random_next(struct breathe *b)
{
	uint64_t x = b->random += 0x9e3779b97f4a7c15;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

/* Checks the page's first and last word against its version; with `write`, gives it the next one. */
static void page_look(struct breathe *b, size_t page, int write)
{
	uint64_t *words = (uint64_t *)(b->mem + page * page_size());
	size_t last = page_size() / sizeof(*words) - 1;
	uint64_t expected = b->version[page] ? (page << 32 | b->version[page]) : 0;

	for (size_t at = 0; at <= last; at += last) {
		if (words[at] != expected) {
			printf("breathe: BAD page at %zu expected %llx found %llx\n",
			       page * page_size() + at * sizeof(*words),
			       (unsigned long long)expected, (unsigned long long)words[at]);
			exit(1);
		}
	}
	b->checked++;
	if (!write)
		return;
	b->version[page]++;
	words[0] = words[last] = page << 32 | b->version[page];
}

static size_t pages_of_chunk(void)
{
	return CHUNK / page_size();
}

/* Takes the next chunk: writes every page of it. */
static void chunk_take(struct breathe *b)
{
	size_t first = b->order[b->used++] * pages_of_chunk();

	for (size_t page = first; page < first + pages_of_chunk(); page++)
		page_look(b, page, 1);
}

/* Checks every page of a random chunk in use for the last time, and drops the chunk. */
static void chunk_drop(struct breathe *b)
{
	size_t which = random_next(b) % b->used;
	uint32_t chunk = b->order[which];

	for (size_t i = 0; i < pages_of_chunk(); i++)
		page_look(b, chunk * pages_of_chunk() + i, 0);
	b->order[which] = b->order[--b->used];
	b->order[b->used] = chunk;
	if (madvise(b->mem + chunk * CHUNK, CHUNK, MADV_DONTNEED))
		fail("breathe", "cannot drop memory");
	memset(&b->version[chunk * pages_of_chunk()], 0, pages_of_chunk() * sizeof(b->version[0]));
}

static void look_around(struct breathe *b)
{
	for (int i = 0; i < LOOKS; i++) {
		uint64_t chance = random_next(b);
		size_t chunk = b->order[(chance >> 32) % b->used];

		page_look(b, chunk * pages_of_chunk() + chance % pages_of_chunk(), i % 2);
	}
}

/* Grows once and shrinks once. */
static void turn(struct breathe *b)
{
	while (b->used < b->chunks) {
		chunk_take(b);
		look_around(b);
		sleep_us(b->rest_us);
	}
	printf("breathe: high %zu MiB\n", b->used);
	while (b->used > b->low) {
		chunk_drop(b);
		look_around(b);
		sleep_us(b->rest_us);
	}
	printf("breathe: low %zu MiB\n", b->used);
}

int main(int argc, char **argv)
{
	struct breathe b = {.seed = 1, .rest_us = 5000};
	size_t pages;

	setvbuf(stdout, NULL, _IOLBF, 0);
	breathe_parse(&b, argc, argv);
	b.random = b.seed;
	pages = b.chunks * pages_of_chunk();
	b.mem = memory_take(b.chunks * CHUNK, PAGES_DEFAULT);
	b.version = memory_take(pages * sizeof(b.version[0]), PAGES_SMALL);
	b.order = memory_take(b.chunks * sizeof(b.order[0]), PAGES_SMALL);
	if (!b.mem || !b.version || !b.order)
		fail("breathe", "cannot map memory");
	for (size_t i = 0; i < b.chunks; i++)
		b.order[i] = (uint32_t)i;
	for (unsigned long i = 0; i < b.turns; i++)
		turn(&b);
	while (b.used)
		chunk_drop(&b);
	printf("breathe: ok %llu pages checked\n", (unsigned long long)b.checked);
	return 0;
}
