// SPDX-License-Identifier: Apache-2.0
/*
 * usage: discard_limit MIB
 *
 * The limit that tests/bench/discard measures against: a bare loop of madvise() over the ranges that
 * the guest gives back, in the same order, in memory of the same kind, without a guest or a ring.
 * Twice: a call for each block; and as few calls as can be, with what of a chain is adjacent made one
 * beforehand. A second thread does nothing on the first CPU, as the guest's CPU does: whoever unmaps
 * a page has to tell that CPU too.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "tests/bench/discard_patterns.h"

#define GUEST_CPU  0
#define WORKER_CPU 1

#define PAGE 4096
#define HUGE (2UL << 20)

struct range {
	uint64_t offset, len;
};

/* Where there is but one CPU, both stay on it. */
static void pin(int cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void *watch(void *unused)
{
	pin(GUEST_CPU);
	for (;;)
		__asm__ volatile("pause");
	return unused;
}

static uint64_t now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ULL + time.tv_nsec;
}

static void drop(char *area, uint64_t offset, uint64_t len)
{
	if (madvise(area + offset, len, MADV_DONTNEED)) {
		perror("discard_limit: madvise");
		exit(1);
	}
}

static void dirty(char *area, const struct pattern *pattern, uint64_t blocks)
{
	for (uint64_t i = 0; i < blocks; i++) {
		volatile char *block = area + i * pattern_step(pattern);
		for (uint64_t at = 0; at < pattern->block; at += PAGE)
			block[at] = 1;
	}
}

static int by_offset(const void *a, const void *b)
{
	const struct range *x = a, *y = b;
	return (x->offset > y->offset) - (x->offset < y->offset);
}

/* One chain's blocks, from @first on. Returns how many ranges they are. */
static unsigned int chain_ranges(const struct pattern *pattern, uint64_t first, bool merge,
				 struct range *range)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < pattern->blocks; i++)
		range[i] = (struct range){pattern_offset(pattern, first + i), pattern->block};
	if (!merge)
		return pattern->blocks;
	qsort(range, pattern->blocks, sizeof(*range), by_offset);
	for (unsigned int i = 1; i < pattern->blocks; i++) {
		if (range[i].offset == range[n].offset + range[n].len)
			range[n].len += range[i].len;
		else
			range[++n] = range[i];
	}
	return n + 1;
}

static uint64_t give_back(char *area, const struct pattern *pattern, uint64_t blocks, bool merge)
{
	struct range range[PATTERN_CHAIN_MAX];
	uint64_t ns = 0;

	for (uint64_t i = 0; i < blocks; i += pattern->blocks) {
		unsigned int n = chain_ranges(pattern, i, merge, range);
		uint64_t from = now();
		for (unsigned int r = 0; r < n; r++)
			drop(area, range[r].offset, range[r].len);
		ns += now() - from;
	}
	return ns;
}

int main(int argc, char **argv)
{
	uint64_t bytes = argc == 2 ? strtoull(argv[1], NULL, 10) << 20 : 0;
	if (!bytes) {
		fprintf(stderr, "usage: discard_limit MIB\n");
		return 2;
	}
	char *map = mmap(NULL, 2 * bytes + HUGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED) {
		perror("discard_limit: mmap");
		return 1;
	}
	char *area = map + (-(uintptr_t)map & (HUGE - 1));
	madvise(area, 2 * bytes, MADV_HUGEPAGE);
	pthread_t watcher;
	if (pthread_create(&watcher, NULL, watch, NULL)) {
		fprintf(stderr, "discard_limit: no second thread\n");
		return 1;
	}
	pin(WORKER_CPU);

	for (unsigned int i = 0; i < PATTERNS; i++) {
		for (int merge = 0; merge < 2; merge++) {
			uint64_t blocks = pattern_blocks(&patterns[i], bytes);
			drop(area, 0, 2 * bytes);
			dirty(area, &patterns[i], blocks);
			printf("%s %s %lu bytes in %lu ns\n", merge ? "merged" : "each",
			       patterns[i].name, blocks * patterns[i].block,
			       give_back(area, &patterns[i], blocks, merge));
		}
	}
	return 0;
}
