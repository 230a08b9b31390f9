/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio persistent memory device (virtio 1.2 §5.19): tells the driver where a region of memory
 * is, and makes what the guest wrote to it durable when the driver asks. README.md beside this file
 * tells the theory of operation.
 *
 * Thread: init on main, with no other in the device; any thread may read the counters, and what
 * never changes after init.
 */
#ifndef EBB_VIRTIO_PMEM_H
#define EBB_VIRTIO_PMEM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/virtio-pmem/region.h"
#include "devices/virtio/device.h"

struct pmem {
	struct virtio_device dev;
	const struct pmem_region *region;
	/* As fdatasync(2). A hook, so that a test can make it fail. */
	int (*fdatasync)(int fd);

	atomic_ullong flushes; /* successful ones */
	atomic_ullong failed;  /* flushes that failed on the host */
	atomic_ullong refused; /* flushes of a read-only region, and requests of an unknown type */

	/* Thread: the worker. */
	int lost; /* 0, or -errno if written data may be lost: from then on every flush fails */
	bool refusal_logged;
};

/* The value of pmem->lost if the file became shorter. */
#define PMEM_SHORTER (-ENODATA)

/* Makes the device. @region, which has its gpa, and @host outlive it. */
void pmem_init(struct pmem *pmem, const struct pmem_region *region, const struct virtio_host *host);

#endif
