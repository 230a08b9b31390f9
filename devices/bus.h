/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maps guest addresses to handlers, both for MMIO and for port I/O.
 *
 * Thread: main fills a bus while the machine is built; it does not change while vCPUs run, so their
 * threads use it without a lock. A handler is called on the vCPU's thread and does its own locking.
 */
#ifndef EBB_BUS_H
#define EBB_BUS_H

#include <stdbool.h>
#include <stdint.h>

#define BUS_RANGES_MAX 32

/* Write a register's value into an answer of @len bytes, little-endian, and read it from a write of @len. */
static inline void bus_put(void *data, unsigned int len, uint64_t value)
{
	for (unsigned int i = 0; i < len; i++)
		((uint8_t *)data)[i] = i < sizeof(value) ? value >> (8 * i) : 0;
}

static inline uint64_t bus_get(const void *data, unsigned int len)
{
	uint64_t value = 0;
	for (unsigned int i = 0; i < len && i < sizeof(value); i++)
		value |= (uint64_t)((const uint8_t *)data)[i] << (8 * i);
	return value;
}

struct bus_range {
	uint64_t base;
	uint64_t size;
	void *ctx;
	/* @offset is from base; the access [offset, offset + len) lies within the range. */
	void (*read)(void *ctx, uint64_t offset, void *data, unsigned int len);
	void (*write)(void *ctx, uint64_t offset, const void *data, unsigned int len);
};

struct bus {
	struct bus_range range[BUS_RANGES_MAX]; /* ascending, disjoint */
	unsigned int ranges;
};

/*
 * Adds a range. Returns 0; or, after an error message, -EEXIST if it overlaps another, -ENOSPC, or
 * -EINVAL.
 */
int bus_add(struct bus *bus, const struct bus_range *range);

/* Without a device at @address all bits read as ones, as on a real bus, and writes are dropped. */
void bus_read(const struct bus *bus, uint64_t address, void *data, unsigned int len);
void bus_write(const struct bus *bus, uint64_t address, const void *data, unsigned int len);

#endif
