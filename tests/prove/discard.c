// SPDX-License-Identifier: Apache-2.0
/*
 * For any 2 ranges that begin below 4 GiB, in any order, and RAM below 2 MiB of one or two regions, of whole pages of
 * 4 KiB: the steps are no more than there is room for, and each is of whole pages, within its region and within a range.
 *
 * Source: vmm/mem/discard.c
 * Unwind: 4
 * Options: --unsigned-overflow-check
 * Planted: s/end &= ~mask;/end = (end + mask) \& ~mask;/
 */
#include "tests/prove/prove.h"
#include "vmm/mem/discard.c"

#define N	2
#define REGIONS 2

static bool in_regions(const struct ram *ram, const struct discard_step *step)
{
	for (unsigned int r = 0; r < ram->regions; r++) {
		const struct ram_region *region = &ram->region[r];
		if (step->range.gpa < region->gpa)
			continue;
		uint64_t offset = step->range.gpa - region->gpa;
		if (offset < region->size && step->range.len <= region->size - offset)
			return true;
	}
	return false;
}

/* Whether what is given back was reported, to the byte. */
static bool in_ranges(const struct gpa_range *range, const struct discard_step *step)
{
	for (size_t i = 0; i < N; i++) {
		bool wraps = range[i].len > UINT64_MAX - range[i].gpa;
		uint64_t end = wraps ? UINT64_MAX : range[i].gpa + range[i].len;
		if (step->range.gpa >= range[i].gpa && step->range.gpa + step->range.len <= end)
			return true;
	}
	return false;
}

int main(void)
{
	struct ram ram = {.regions = nondet_bool() ? 1 : REGIONS, .page_size = 4096};
	struct gpa_range range[N];
	struct discard_step step[DISCARD_STEPS(N)];
	unsigned int outside = 0;
	uint64_t end = 0;

	for (unsigned int r = 0; r < ram.regions; r++) {
		struct ram_region *region = &ram.region[r];
		*region = (struct ram_region){(uint64_t)nondet_u8() << 12,
					      (uint64_t)nondet_u8() << 12, NULL};
		ASSUME(region->size > 0);
		ASSUME(r == 0 || region->gpa > end);
		end = region->gpa + region->size;
	}
	for (size_t i = 0; i < N; i++)
		range[i] = (struct gpa_range){nondet_u32(), nondet_u64()};

	size_t steps = discard_plan(&ram, range, N, step, &outside);
	PROVE(steps <= DISCARD_STEPS(N) && outside <= N);
	for (size_t i = 0; i < steps; i++) {
		PROVE(step[i].range.len > 0);
		PROVE(step[i].range.gpa % 4096 == 0);
		PROVE(step[i].range.len % 4096 == 0);
		PROVE(in_regions(&ram, &step[i]));
		PROVE(in_ranges(range, &step[i]));
	}
}
