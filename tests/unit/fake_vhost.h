/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network device of fake_net.h with queues that the host's kernel serves, and that kernel: it remembers
 * what it was told, insists on the order that drivers/vhost asks for, and refuses what it is told to.
 */
#ifndef EBB_TEST_FAKE_VHOST_H
#define EBB_TEST_FAKE_VHOST_H

#include <linux/vhost.h>

#include "devices/vhost/vhost.h"
#include "tests/unit/fake_net.h"

/* The features of vhost-net. */
#define VHOST_RINGS                                                                                \
	(NET_V1 | NET_MERGE | 1ULL << VIRTIO_RING_F_EVENT_IDX | 1ULL << VIRTIO_RING_F_INDIRECT_DESC)
/* The driver accepts them, too. */
#define VHOST_ALL (NET_ALL | VHOST_RINGS)

struct fake_vhost {
	bool owned;
	unsigned int owners;   /* since the start */
	unsigned int calls;    /* since the start, of any request */
	unsigned long fails;   /* this request */
	unsigned int fails_at; /* for this queue, if it names one */
	uint64_t features;
	struct vhost_memory memory;
	struct vhost_memory_region region[RAM_REGIONS_MAX + RAM_WINDOWS_MAX];
	struct {
		unsigned int size, base;
		struct vhost_vring_addr rings;
		int kick, call, broken, backend;
	} queue[NET_QUEUES];
};

extern struct vhost vhost;
extern struct fake_vhost kernel;
extern bool backend_lent; /* net_config.lend */

void vhost_setup(void);
void vhost_teardown(void);
void vhost_lend_backend(void *ctx, unsigned int pair, bool lent);

/* The kernel takes and returns @n chains of a queue that is lent. */
void kernel_works(unsigned int queue, unsigned int n);

#endif
