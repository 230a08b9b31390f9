/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arithmetic on the page numbers that a driver puts into the balloon or takes out of it: in units
 * of 4 KiB whatever the page size of guest and host, in any order, of any value. Pure.
 *
 * Source: virtio 1.2 §5.5.6.
 */
#ifndef EBB_VIRTIO_BALLOON_PFN_H
#define EBB_VIRTIO_BALLOON_PFN_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/mem/ram.h"

/*
 * Sorts @n page numbers in place, in ascending order. Drops repeated ones, and those of pages that
 * are not wholly RAM; sets *outside to the number of the latter. Returns how many are left.
 */
size_t pfn_sort(const struct ram *ram, uint32_t *pfn, size_t n, size_t *outside);

/*
 * Merges @n page numbers, as pfn_sort() leaves them, into the fewest ranges, ascending. @range has
 * room for @n. Returns how many there are.
 */
size_t pfn_ranges(const uint32_t *pfn, size_t n, struct gpa_range *range);

#endif
