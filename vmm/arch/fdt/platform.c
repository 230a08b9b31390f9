// SPDX-License-Identifier: Apache-2.0
#include "vmm/arch/fdt/platform.h"

#include <errno.h>

#include "vmm/arch/fdt/layout.h"

/* KVM takes no smaller address size on arm64. */
#define GPA_BITS_MIN 32

int fdt_ram_layout(uint64_t size, unsigned int gpa_bits, struct gpa_range *span)
{
	uint64_t limit = gpa_bits < 64 ? 1ULL << gpa_bits : UINT64_MAX;
	if (limit <= FDT_RAM || size > limit - FDT_RAM)
		return -E2BIG;
	span[0] = (struct gpa_range){FDT_RAM, size};
	return 1;
}

unsigned int fdt_gpa_bits_needed(uint64_t memory)
{
	unsigned int bits = GPA_BITS_MIN;
	while (bits < 64 && (memory > UINT64_MAX - FDT_RAM || (FDT_RAM + memory - 1) >> bits))
		bits++;
	return bits;
}
