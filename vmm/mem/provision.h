/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host promises for guest RAM beyond mapping it: the node that it is taken from, that it
 * stays, that it is there from the start. For ram.c alone, which calls them in this order: a page
 * must know its node before it is taken.
 *
 * Each returns 0, or -errno having said what to do. Thread: main, with no other running.
 * Source: mbind(2), mlock2(2), madvise(2).
 */
#ifndef EBB_MEM_PROVISION_H
#define EBB_MEM_PROVISION_H

#include "vmm/mem/ram.h"

/*
 * From @node as long as it has memory, from others then. Not bound to it: a full node would have the
 * guest killed while others have room, and huge pages are reserved for all nodes together.
 */
int provision_node(const struct ram *ram, int node);

/* What is touched stays in memory; it takes none by itself. */
int provision_lock(const struct ram *ram);

/* Takes all of it now. */
int provision_all(const struct ram *ram);

#endif
