// SPDX-License-Identifier: Apache-2.0
/*
 * For any 3 page numbers, and RAM of one region anywhere: those that are left ascend, none is there twice, and each is
 * RAM; the ranges made of them ascend, do not touch, and hold as many pages.
 *
 * Source: devices/virtio-balloon/pfn.c
 * Unwind: 4
 * Options: --unsigned-overflow-check
 * Planted: s/range\[ranges - 1\].len += PAGE/range[ranges - 1].len += 2 * PAGE/
 */
#include "tests/prove/prove.h"

PROVE_SORT(sort, uint32_t)
#include "devices/virtio-balloon/pfn.c"

#define N 3

static uint64_t ram_start, ram_end;

void *ram_at(const struct ram *ram, uint64_t gpa, uint64_t len)
{
	static uint8_t there;
	(void)ram;
	return gpa >= ram_start && len <= ram_end && gpa <= ram_end - len ? &there : NULL;
}

int main(void)
{
	uint32_t pfn[N];
	struct gpa_range range[N];
	size_t n = nondet_u8(), outside;
	uint64_t bytes = 0;
	ASSUME(n <= N);
	ram_start = nondet_u64();
	ram_end = nondet_u64();
	for (size_t i = 0; i < N; i++)
		pfn[i] = nondet_u32();

	size_t kept = pfn_sort(NULL, pfn, n, &outside);
	PROVE(kept + outside <= n);
	for (size_t i = 0; i < kept; i++) {
		PROVE(i == 0 || pfn[i] > pfn[i - 1]);
		PROVE(ram_at(NULL, pfn[i] * PAGE, PAGE));
	}
	size_t ranges = pfn_ranges(pfn, kept, range);
	PROVE(ranges <= kept);
	for (size_t i = 0; i < ranges; i++) {
		PROVE(i == 0 || range[i].gpa > range[i - 1].gpa + range[i - 1].len);
		PROVE(range[i].len >= PAGE && range[i].len <= N * PAGE);
		bytes += range[i].len;
	}
	PROVE(bytes == kept * PAGE);
}
