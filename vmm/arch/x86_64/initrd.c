// SPDX-License-Identifier: Apache-2.0
#include "vmm/arch/x86_64/initrd.h"

#include <errno.h>

#include "vmm/arch/x86_64/layout.h"

static bool takes_any_place(const struct image *image)
{
	return !image->is_bzimage || image->header.xloadflags & XLF_CAN_BE_LOADED_ABOVE_4G;
}

/* Returns the end of the memory below the hole from which the kernel takes an initrd. */
static uint64_t low_end(const struct image *image)
{
	uint64_t end = image->header.initrd_addr_max + 1ULL;
	return takes_any_place(image) || end > LAYOUT_HOLE ? LAYOUT_HOLE : end;
}

static bool fits(uint64_t from, uint64_t end, uint64_t size)
{
	return from <= end && size <= end - from;
}

int initrd_place(struct gpa_range *initrd, const struct image *image, const struct ram *ram,
		 uint64_t from, uint64_t size)
{
	uint64_t end = ram->region[0].gpa + ram->region[0].size;
	if (end > low_end(image))
		end = low_end(image);
	/* Behind the kernel, not at the top as firmware does: fewer huge pages are touched. */
	if (fits(from, end, size)) {
		*initrd = (struct gpa_range){from, size};
		return 0;
	}
	if (!takes_any_place(image) || ram->regions < 2 || size > ram->region[1].size)
		return -ENOMEM;
	*initrd = (struct gpa_range){ram->region[1].gpa, size};
	return 0;
}

uint64_t initrd_memory(const struct image *image, uint64_t from, uint64_t size)
{
	if (fits(from, low_end(image), size))
		return from + size;
	return takes_any_place(image) && size <= UINT64_MAX - LAYOUT_HOLE ? LAYOUT_HOLE + size : 0;
}
