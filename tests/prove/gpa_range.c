// SPDX-License-Identifier: Apache-2.0
/*
 * For any 3 ranges: what merging returns ascends and does not touch. And for any 2 with addresses and lengths below 256
 * or as near to 2^64: it keeps every address but the very last, and adds none.
 *
 * Source: vmm/mem/gpa_range.c
 * Unwind: 4
 * Options: --unsigned-overflow-check
 * Planted: s/else if (end > range_end(last))/else/
 */
#include "tests/prove/prove.h"
#include "vmm/mem/gpa_range.h"

PROVE_SORT(sort, struct gpa_range)
#include "vmm/mem/gpa_range.c"

#define N     3
#define EDGES 2

/* The last address belongs to no range: RAM does not reach there. */
static bool holds(const struct gpa_range *range, size_t n, uint64_t address)
{
	for (size_t i = 0; i < n; i++)
		if (address >= range[i].gpa && address < UINT64_MAX &&
		    address - range[i].gpa < range[i].len)
			return true;
	return false;
}

static void prove_order(void)
{
	struct gpa_range range[N];
	size_t n = nondet_u8();
	ASSUME(n <= N);
	for (size_t i = 0; i < N; i++)
		range[i] = (struct gpa_range){nondet_u64(), nondet_u64()};

	size_t merged = gpa_range_merge(range, n);
	PROVE(merged <= n);
	for (size_t i = 0; i < merged; i++) {
		PROVE(range[i].len > 0 && range[i].len <= UINT64_MAX - range[i].gpa);
		PROVE(i == 0 || range[i].gpa > range[i - 1].gpa + range[i - 1].len);
	}
}

static void prove_addresses(void)
{
	struct gpa_range range[EDGES], before[EDGES];
	uint64_t address = nondet_edge();
	for (size_t i = 0; i < EDGES; i++)
		before[i] = range[i] = (struct gpa_range){nondet_edge(), nondet_edge()};

	size_t merged = gpa_range_merge(range, EDGES);
	PROVE(holds(before, EDGES, address) == holds(range, merged, address));
}

int main(void)
{
	prove_order();
	prove_addresses();
}
