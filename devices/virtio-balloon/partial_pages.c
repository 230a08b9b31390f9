// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio-balloon/partial_pages.h"

#include <errno.h>
#include <linux/virtio_balloon.h>
#include <stdlib.h>
#include <string.h>

#include "devices/virtio-balloon/pfn.h"
#include "vmm/lib/log.h"

#define SHIFT VIRTIO_BALLOON_PFN_SHIFT

static size_t bit_words(const struct partial_pages *parts)
{
	return ((ram_size(parts->ram) >> SHIFT) + 63) / 64;
}

static size_t pages(const struct partial_pages *parts)
{
	return (ram_size(parts->ram) >> SHIFT) / parts->in_page;
}

int partial_pages_init(struct partial_pages *parts, const struct ram *ram)
{
	*parts = (struct partial_pages){.ram = ram, .in_page = ram->page_size >> SHIFT};
	if (parts->in_page <= 1)
		return 0;
	parts->bit = calloc(bit_words(parts), sizeof(*parts->bit));
	parts->present = calloc(pages(parts), sizeof(*parts->present));
	if (!parts->bit || !parts->present) {
		partial_pages_release(parts);
		log_error("cannot set up the balloon: the host has no memory left");
		return -ENOMEM;
	}
	return 0;
}

void partial_pages_release(struct partial_pages *parts)
{
	free(parts->bit);
	free(parts->present);
	parts->bit = NULL;
	parts->present = NULL;
}

void partial_pages_reset(struct partial_pages *parts)
{
	if (!parts->bit)
		return;
	memset(parts->bit, 0, bit_words(parts) * sizeof(*parts->bit));
	memset(parts->present, 0, pages(parts) * sizeof(*parts->present));
}

/* Returns the index of a part among all parts of RAM. Regions are whole pages of the backing. */
static uint64_t part_index(const struct partial_pages *parts, uint32_t pfn)
{
	uint64_t gpa = (uint64_t)pfn << SHIFT;
	uint64_t before = 0;

	for (unsigned int i = 0; i < parts->ram->regions; i++) {
		const struct ram_region *region = &parts->ram->region[i];
		if (gpa - region->gpa < region->size)
			return (before + gpa - region->gpa) >> SHIFT;
		before += region->size;
	}
	return 0; /* not RAM: pfn_sort() has dropped it */
}

/* Sets or clears a part's bit. Returns whether that changed it. */
static bool part_set(struct partial_pages *parts, uint64_t index, bool set)
{
	uint64_t *word = &parts->bit[index / 64];
	uint64_t mask = 1ULL << index % 64;

	if (!!(*word & mask) == set)
		return false;
	*word ^= mask;
	parts->present[index / parts->in_page] += set ? 1 : -1;
	return true;
}

size_t partial_pages_inflate(struct partial_pages *parts, const uint32_t *pfn, size_t n,
			     struct gpa_range *range)
{
	const uint64_t size = parts->ram->page_size;
	size_t ranges = 0;

	if (!parts->bit)
		return pfn_ranges(pfn, n, range);
	for (size_t i = 0; i < n; i++) {
		uint64_t index = part_index(parts, pfn[i]);
		if (!part_set(parts, index, true) ||
		    parts->present[index / parts->in_page] != parts->in_page)
			continue;
		/* Regions begin on a page of the backing, so a page's gpa is a multiple too. */
		uint64_t gpa = ((uint64_t)pfn[i] << SHIFT) & ~(size - 1);
		if (ranges > 0 && range[ranges - 1].gpa + range[ranges - 1].len == gpa)
			range[ranges - 1].len += size;
		else
			range[ranges++] = (struct gpa_range){gpa, size};
	}
	return ranges;
}

void partial_pages_deflate(struct partial_pages *parts, const uint32_t *pfn, size_t n)
{
	if (!parts->bit)
		return;
	for (size_t i = 0; i < n; i++)
		part_set(parts, part_index(parts, pfn[i]), false);
}
