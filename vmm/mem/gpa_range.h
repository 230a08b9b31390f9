/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arithmetic on stretches of guest-physical addresses that a driver sent: any order, any overlap,
 * any value. Pure.
 */
#ifndef EBB_MEM_GPA_RANGE_H
#define EBB_MEM_GPA_RANGE_H

#include <stddef.h>

#include "vmm/mem/ram.h"

/*
 * Sorts @n ranges in place, drops empty ones and merges those that touch or overlap. A range that
 * would wrap is cut at the last address. Returns how many are left: ascending, apart from each
 * other.
 */
size_t gpa_range_merge(struct gpa_range *range, size_t n);

#endif
