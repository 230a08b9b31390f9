// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio-balloon/pfn.h"

#include <linux/virtio_balloon.h>
#include <stdlib.h>

#define PAGE (1ULL << VIRTIO_BALLOON_PFN_SHIFT)

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a;
	uint32_t y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

size_t pfn_sort(const struct ram *ram, uint32_t *pfn, size_t n, size_t *outside)
{
	size_t kept = 0;

	*outside = 0;
	qsort(pfn, n, sizeof(*pfn), by_value);
	for (size_t i = 0; i < n; i++) {
		if (i > 0 && pfn[i] == pfn[i - 1])
			continue;
		if (!ram_at(ram, pfn[i] * PAGE, PAGE))
			++*outside;
		else
			pfn[kept++] = pfn[i];
	}
	return kept;
}

size_t pfn_ranges(const uint32_t *pfn, size_t n, struct gpa_range *range)
{
	size_t ranges = 0;

	for (size_t i = 0; i < n; i++) {
		if (i > 0 && pfn[i] == pfn[i - 1] + 1)
			range[ranges - 1].len += PAGE;
		else
			range[ranges++] = (struct gpa_range){pfn[i] * PAGE, PAGE};
	}
	return ranges;
}
