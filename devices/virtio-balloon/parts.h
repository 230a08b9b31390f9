/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which 4 KiB parts of the backing's larger pages are in the balloon: a page can only be discarded
 * whole, and so when all of it is in there. For backings with pages of 4 KiB there is nothing to
 * remember, and this holds no memory.
 *
 * Thread: none of its own; its owner's lock covers it.
 */
#ifndef EBB_VIRTIO_BALLOON_PARTS_H
#define EBB_VIRTIO_BALLOON_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/mem/ram.h"

struct parts {
	const struct ram *ram;
	uint32_t in_page; /* parts in a page of the backing; 1: nothing is remembered */
	uint64_t *bit;	  /* one for each part, in the order of the regions: it is in the balloon */
	uint32_t *present; /* one for each page: how many of its parts are */
};

/* @ram outlives it. Returns 0, or -ENOMEM having said so. */
int parts_init(struct parts *parts, const struct ram *ram);
void parts_release(struct parts *parts);

/* Nothing is in the balloon. */
void parts_reset(struct parts *parts);

/*
 * @n pages of 4 KiB, as pfn_sort() leaves them, go into the balloon. Writes to @range, which has
 * room for @n, what can be discarded for that: the backing's pages that became whole by it, as the
 * fewest ranges, ascending. Returns how many. One that was whole before is not there again.
 */
size_t parts_inflate(struct parts *parts, const uint32_t *pfn, size_t n, struct gpa_range *range);

/* @n pages of 4 KiB come out of it. */
void parts_deflate(struct parts *parts, const uint32_t *pfn, size_t n);

#endif
