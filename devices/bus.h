/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest address → handler, for MMIO and for port I/O alike.
 *
 * Filled while the machine is built and never changed while vCPUs run, so that vCPU threads look up
 * without a lock. A handler is called on the vCPU's thread and does its own locking.
 */
#ifndef EBB_BUS_H
#define EBB_BUS_H

#include <stdbool.h>
#include <stdint.h>

#define BUS_RANGES_MAX 32

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

/* Returns 0, -EEXIST where it overlaps another, -ENOSPC, or -EINVAL. */
int bus_add(struct bus *bus, const struct bus_range *range);

/* What nobody answers reads as all ones, as on a real bus; writes to it are dropped. */
void bus_read(const struct bus *bus, uint64_t address, void *data, unsigned int len);
void bus_write(const struct bus *bus, uint64_t address, const void *data, unsigned int len);

#endif
