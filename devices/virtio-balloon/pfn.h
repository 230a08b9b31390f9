/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arithmetic on the page numbers that a driver puts into the balloon and takes out of it: units of
 * 4 KiB whatever anybody's page size (virtio 1.2 §5.5.6), in any order, any value. Pure.
 */
#ifndef EBB_VIRTIO_BALLOON_PFN_H
#define EBB_VIRTIO_BALLOON_PFN_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/mem/ram.h"

/*
 * Sorts @n page numbers in place, leaves each there once, and drops those that are not RAM, all or
 * in part; *outside is set to the number of these. Returns how many are left: ascending.
 */
size_t pfn_sort(const struct ram *ram, uint32_t *pfn, size_t n, size_t *outside);

/*
 * The fewest ranges that are exactly @n pages, ascending as pfn_sort() leaves them. @range has room
 * for @n. Returns how many they are.
 */
size_t pfn_ranges(const uint32_t *pfn, size_t n, struct gpa_range *range);

#endif
