// SPDX-License-Identifier: Apache-2.0
#include "devices/bus.h"

#include <errno.h>
#include <string.h>

#include "vmm/lib/log.h"

static int cannot_add(const struct bus_range *range, const char *why, int error)
{
	log_error("cannot place a device at 0x%llx of the guest's bus: %s",
		  (unsigned long long)range->base, why);
	return error;
}

int bus_add(struct bus *bus, const struct bus_range *range)
{
	/* Last addresses, not ends: a range may reach the very top of the address space. */
	uint64_t last = range->base + range->size - 1;
	if (range->size == 0 || last < range->base || !range->read || !range->write)
		return cannot_add(range, "its addresses make no range", -EINVAL);

	unsigned int at = 0;
	for (; at < bus->ranges; at++) {
		const struct bus_range *other = &bus->range[at];
		if (range->base <= other->base + other->size - 1 && other->base <= last)
			return cannot_add(range, "another device is there", -EEXIST);
		if (other->base > last)
			break;
	}
	if (bus->ranges == BUS_RANGES_MAX)
		return cannot_add(range, "too many devices; leave some out", -ENOSPC);

	memmove(&bus->range[at + 1], &bus->range[at], (bus->ranges - at) * sizeof(*range));
	bus->range[at] = *range;
	bus->ranges++;
	return 0;
}

/* Returns the range that contains all of [address, address + len), or NULL. */
static const struct bus_range *bus_find(const struct bus *bus, uint64_t address, unsigned int len)
{
	for (unsigned int i = 0; i < bus->ranges && bus->range[i].base <= address; i++) {
		const struct bus_range *range = &bus->range[i];
		uint64_t offset = address - range->base;
		if (offset < range->size)
			return len <= range->size - offset ? range : NULL;
	}
	return NULL;
}

void bus_read(const struct bus *bus, uint64_t address, void *data, unsigned int len)
{
	const struct bus_range *range = bus_find(bus, address, len);
	if (range)
		range->read(range->ctx, address - range->base, data, len);
	else
		memset(data, 0xff, len);
}

void bus_write(const struct bus *bus, uint64_t address, const void *data, unsigned int len)
{
	const struct bus_range *range = bus_find(bus, address, len);
	if (range)
		range->write(range->ctx, address - range->base, data, len);
}
