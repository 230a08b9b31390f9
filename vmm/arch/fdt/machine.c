// SPDX-License-Identifier: Apache-2.0
/* The parts of arch.h that are the same for all machines with a device tree. */
#include "vmm/arch/fdt/platform.h"

int arch_ram_layout(uint64_t size, unsigned int gpa_bits, struct gpa_range *span)
{
	return fdt_ram_layout(size, gpa_bits, span);
}

/* Raise an edge: the key is pressed and released. */
void arch_power_button(struct arch_platform *platform)
{
	platform->interrupt(platform->ctx, 1);
	platform->interrupt(platform->ctx, 0);
}

bool arch_gsi_usable(unsigned int gsi, const char *params)
{
	(void)gsi;
	(void)params; /* the tree names each line */
	return true;
}
