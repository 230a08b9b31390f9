// SPDX-License-Identifier: Apache-2.0
#include "vmm/mem/torn.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "vmm/mem/backing.h"

/* Of every architecture's hosts with pages of 4 KiB; others get no huge pages: see backing_advice(). */
#define HUGE (2ULL << 20)
#define BITS 64

struct torn {
	unsigned int count;
	uint64_t bit[]; /* of each huge page, by its guest address */
};

struct torn *torn_new(const struct ram *ram)
{
	const struct ram_region *last = &ram->region[ram->regions - 1];

	if (ram->backing == RAM_HUGETLBFS || backing_advice() != MADV_HUGEPAGE)
		return NULL;
	size_t places = (last->gpa + last->size + HUGE - 1) / HUGE;
	return calloc(1, sizeof(struct torn) + (places + BITS - 1) / BITS * sizeof(uint64_t));
}

void torn_free(struct torn *torn)
{
	free(torn);
}

/* The place at @gpa, as far as it lies within @region, is torn from now on, or is not. */
static void set(struct torn *torn, const struct ram_region *region, uint64_t gpa, bool is_torn)
{
	uint64_t *word = &torn->bit[gpa / HUGE / BITS];
	uint64_t bit = 1ULL << gpa / HUGE % BITS;
	uint64_t region_end = region->gpa + region->size;
	uint64_t from = gpa > region->gpa ? gpa : region->gpa;
	uint64_t to = gpa + HUGE < region_end ? gpa + HUGE : region_end;

	if (!(*word & bit) == !is_torn || (is_torn && torn->count == TORN_MAX))
		return;
	if (madvise(region->hva + (from - region->gpa), to - from,
		    is_torn ? MADV_NOHUGEPAGE : MADV_HUGEPAGE) < 0)
		return;
	*word ^= bit;
	torn->count += is_torn ? 1 : -1;
}

static const struct ram_region *region_of(const struct ram *ram, uint64_t gpa)
{
	unsigned int r = 0;
	while (gpa - ram->region[r].gpa >= ram->region[r].size)
		r++;
	return &ram->region[r];
}

void ram_torn(const struct ram *ram, const struct discard_step *step, size_t n)
{
	/* What was mapped in place of a snapshot's pages is in pieces anyway, and counts its mappings. */
	if (!ram->torn || ram->private_file)
		return;
	for (size_t i = 0; i < n; i++) {
		uint64_t gpa = step[i].range.gpa;
		uint64_t end = gpa + step[i].range.len;
		if (!step[i].done)
			continue;
		const struct ram_region *region = region_of(ram, gpa);
		for (uint64_t at = gpa & ~(HUGE - 1); at < end; at += HUGE)
			set(ram->torn, region, at, at < gpa || at + HUGE > end);
	}
}

unsigned int ram_torn_count(const struct ram *ram)
{
	return ram->torn ? ram->torn->count : 0;
}
