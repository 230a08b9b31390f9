/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which 4 KiB parts of the backing's larger pages are in the balloon: a page can only be discarded
 * whole, and so when all of it is in there. For backings with pages of 4 KiB there is nothing to
 * remember, and this holds no memory.
 *
 * Thread: none of its own; its owner's lock covers it.
 */
#ifndef EBB_VIRTIO_BALLOON_PARTIAL_PAGES_H
#define EBB_VIRTIO_BALLOON_PARTIAL_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/mem/ram.h"

struct partial_pages {
	const struct ram *ram;
	uint32_t in_page; /* parts in a page of the backing; 1: nothing is remembered */
	uint64_t *bit;	  /* one for each part, in the order of the regions: it is in the balloon */
	uint32_t *present; /* one for each page: how many of its parts are */
};

/* @ram outlives it. Returns 0, or -ENOMEM having said so. */
int partial_pages_init(struct partial_pages *parts, const struct ram *ram);
void partial_pages_release(struct partial_pages *parts);

/* Nothing is in the balloon. */
void partial_pages_reset(struct partial_pages *parts);

/*
 * @n pages of 4 KiB, as pfn_sort() leaves them, go into the balloon. Writes to @range, which has
 * room for @n, what can be discarded for that: the backing's pages that became whole by it, as the
 * fewest ranges, ascending. Returns how many. One that was whole before is not there again.
 */
size_t partial_pages_inflate(struct partial_pages *parts, const uint32_t *pfn, size_t n,
			     struct gpa_range *range);

/* @n pages of 4 KiB come out of it. */
void partial_pages_deflate(struct partial_pages *parts, const uint32_t *pfn, size_t n);

#endif
