/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arithmetic on ranges of guest-physical addresses as a driver sent them: in any order,
 * overlapping, of any value. Pure.
 */
#ifndef EBB_MEM_GPA_RANGE_H
#define EBB_MEM_GPA_RANGE_H

#include <stddef.h>

#include "vmm/mem/ram.h"

/*
 * Sorts @n ranges in place, drops empty ones and merges those that touch or overlap. Cuts a range
 * that would wrap at the last address. Returns how many are left; they ascend and do not touch.
 */
size_t gpa_range_merge(struct gpa_range *range, size_t n);

#endif
