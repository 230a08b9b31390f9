// SPDX-License-Identifier: Apache-2.0
#include "vmm/arch/platform.h"

#include <errno.h>
#include <stdlib.h>

#include "vmm/lib/log.h"

int platform_state_new(struct arch_platform *platform, size_t size)
{
	platform->state = calloc(1, size);
	if (platform->state)
		return 0;
	log_error("no memory for the machine's own devices");
	return -ENOMEM;
}

int platform_no_choices(const struct arch_platform *platform)
{
	if (!platform->irqchip && !platform->pmu)
		return 0;
	log_error("%s is for guests on arm64, this host runs %s ones: leave it out",
		  platform->irqchip ? "--irqchip" : "--pmu", arch_map.name);
	return -EOPNOTSUPP;
}
