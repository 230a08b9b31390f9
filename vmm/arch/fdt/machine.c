// SPDX-License-Identifier: Apache-2.0
/* What arch.h asks for, where it is the same for all machines with a device tree. */
#include "vmm/arch/fdt/platform.h"

int arch_ram_layout(uint64_t size, unsigned int gpa_bits, struct gpa_range *span)
{
	return fdt_ram_layout(size, gpa_bits, span);
}

/* An edge: the key is down and up again. */
void arch_power_button(struct arch_platform *platform)
{
	platform->interrupt(platform->ctx, 1);
	platform->interrupt(platform->ctx, 0);
}
