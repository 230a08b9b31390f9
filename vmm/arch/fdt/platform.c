// SPDX-License-Identifier: Apache-2.0
#include "vmm/arch/fdt/platform.h"

#include <errno.h>
#include <string.h>

#include "vmm/arch/fdt/layout.h"

#define PVPANIC_PANICKED 0x01

/* Page tables are walked from 32 bits on. */
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

static void pvpanic_read(void *ctx, uint64_t offset, void *data, unsigned int len)
{
	(void)ctx;
	memset(data, 0, len);
	if (offset == 0)
		*(uint8_t *)data = PVPANIC_PANICKED; /* the events it takes */
}

static void pvpanic_write(void *ctx, uint64_t offset, const void *data, unsigned int len)
{
	const struct arch_platform *platform = ctx;
	if (offset == 0 && len > 0 && *(const uint8_t *)data & PVPANIC_PANICKED)
		platform->power(platform->ctx, ARCH_PANIC);
}

int fdt_platform_init(struct arch_platform *platform, struct bus *mmio)
{
	const struct bus_range pvpanic = {FDT_PVPANIC, FDT_PVPANIC_SIZE, platform, pvpanic_read,
					  pvpanic_write};
	return bus_add(mmio, &pvpanic);
}

/* An edge: the key is down and up again. */
void fdt_power_button(struct arch_platform *platform)
{
	platform->interrupt(platform->ctx, 1);
	platform->interrupt(platform->ctx, 0);
}
