/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio entropy device (virtio 1.2 §5.4): random bytes from the host for a guest without
 * entropy. README.md has the rate and its reason.
 *
 * Thread: init and release on main, with no other in the device; any thread may read the counter.
 */
#ifndef EBB_VIRTIO_RNG_H
#define EBB_VIRTIO_RNG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "devices/virtio/device.h"
#include "vmm/lib/pace.h"

#define RNG_BYTES_PER_S (1U << 20)
#define RNG_BURST	(64U << 10)
/* Bytes that one request gets at most: the driver must accept fewer than it asked for (§5.4.6.1). */
#define RNG_REQUEST_MAX 1024

struct rng {
	struct virtio_device dev;
	atomic_ullong bytes; /* given to the guest */
	/* As getrandom(2). A hook, so that a test can make it fail. */
	ssize_t (*random)(void *data, size_t len, unsigned int flags);

	/* Thread: the worker. */
	struct pace pace;
	bool failure_logged;
};

/* Makes the device. @host outlives it. */
void rng_init(struct rng *rng, const struct virtio_host *host);

#endif
