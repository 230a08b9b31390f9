// SPDX-License-Identifier: Apache-2.0
/* The parts of arch.h that are the same for all machines with a device tree. */
#include <errno.h>

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

/* --- snapshots: not yet ---------------------------------------------------------------------- */

int arch_can_save(struct why *why)
{
	return why_set(why, -EOPNOTSUPP, "ebb cannot save %s guests yet, only x86_64 ones",
		       arch_map.name);
}

int arch_vcpu_save(const struct arch_platform *platform, const struct vcpu *vcpu,
		   struct record *record, struct why *why)
{
	(void)platform, (void)vcpu, (void)record;
	return arch_can_save(why);
}

int arch_vcpu_restore(struct arch_platform *platform, const struct vcpu *vcpu, struct record_in *in,
		      struct why *why)
{
	(void)platform, (void)vcpu, (void)in;
	return arch_can_save(why);
}

int arch_platform_save(const struct arch_platform *platform, struct record *record, struct why *why)
{
	(void)platform, (void)record;
	return arch_can_save(why);
}

int arch_platform_restore(struct arch_platform *platform, struct record_in *in, struct why *why)
{
	(void)platform, (void)in;
	return arch_can_save(why);
}

int arch_new_generation(struct arch_platform *platform, const struct ram *ram, struct why *why)
{
	(void)platform, (void)ram;
	return arch_can_save(why);
}
