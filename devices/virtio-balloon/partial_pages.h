/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tracks which 4 KiB parts of the backing's larger pages are in the balloon: a page can only be
 * discarded whole, once all of its parts are. With a backing of 4 KiB pages it tracks nothing and
 * allocates nothing.
 *
 * Owner: struct balloon, whose users hold the device's lock. Thread: any.
 */
#ifndef EBB_VIRTIO_BALLOON_PARTIAL_PAGES_H
#define EBB_VIRTIO_BALLOON_PARTIAL_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/mem/ram.h"

struct partial_pages {
	const struct ram *ram;
	uint32_t in_page;  /* parts in a page of the backing; 1: nothing is tracked */
	uint64_t *bit;	   /* of each part, in the order of the regions: set if in the balloon */
	uint32_t *present; /* of each page: how many of its parts are in the balloon */
};

/* @ram outlives it. Returns 0, or -ENOMEM after an error message. */
int partial_pages_init(struct partial_pages *parts, const struct ram *ram);
void partial_pages_release(struct partial_pages *parts);

/* Empties the balloon. */
void partial_pages_reset(struct partial_pages *parts);

/*
 * Puts @n parts, as pfn_sort() leaves them, into the balloon. Writes to @range, which has room for
 * @n, the backing's pages that thereby became whole and can be discarded: the fewest ranges,
 * ascending. Returns how many. Leaves out pages that were whole before.
 */
size_t partial_pages_inflate(struct partial_pages *parts, const uint32_t *pfn, size_t n,
			     struct gpa_range *range);

/* Takes @n parts, as pfn_sort() leaves them, out of the balloon. */
void partial_pages_deflate(struct partial_pages *parts, const uint32_t *pfn, size_t n);

#endif
