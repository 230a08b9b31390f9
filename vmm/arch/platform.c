// SPDX-License-Identifier: Apache-2.0
#include "vmm/arch/platform.h"

#include <errno.h>
#include <stdlib.h>

#include "vmm/lib/log.h"

#define PVPANIC_PANICKED 0x01

int platform_state_new(struct arch_platform *platform, size_t size)
{
	platform->state = calloc(1, size);
	if (platform->state)
		return 0;
	log_error("cannot set up the machine's own devices: the host has no memory left");
	return -ENOMEM;
}

static void pvpanic_read(void *ctx, uint64_t offset, void *data, unsigned int len)
{
	(void)ctx;
	bus_put(data, len, offset == 0 ? PVPANIC_PANICKED : 0); /* the events that it supports */
}

static void pvpanic_write(void *ctx, uint64_t offset, const void *data, unsigned int len)
{
	const struct arch_platform *platform = ctx;
	if (offset == 0 && bus_get(data, len) & PVPANIC_PANICKED)
		platform->power(platform->ctx, ARCH_PANIC);
}

int platform_pvpanic(struct arch_platform *platform, struct bus *bus, uint64_t base, uint64_t size)
{
	const struct bus_range range = {base, size, platform, pvpanic_read, pvpanic_write};
	return bus_add(bus, &range);
}

int platform_no_choices(const struct arch_platform *platform)
{
	if (!platform->irqchip && !platform->pmu)
		return 0;
	log_error("%s is for arm64 guests, and this host runs %s guests: leave it out",
		  platform->irqchip ? "--irqchip" : "--pmu", arch_map.name);
	return -EOPNOTSUPP;
}
