/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Binds mapped guest RAM to a node, locks it, allocates it at the start. For ram.c alone, which
 * calls the functions in this order: a page's node must be set before the page is allocated.
 *
 * Each returns 0, or -errno after an error message. Thread: main, before any other starts.
 * Source: mbind(2), mlock2(2), madvise(2).
 */
#ifndef EBB_MEM_PROVISION_H
#define EBB_MEM_PROVISION_H

#include "vmm/mem/ram.h"

/*
 * Prefers @node; other nodes are used when it is full. With a strict policy the guest would be
 * killed although other nodes have room, and huge pages are reserved for all nodes together.
 */
int provision_node(const struct ram *ram, int node);

/* Keeps each page in memory once it is touched. Touches no page itself. */
int provision_lock(const struct ram *ram);

/* Touches all of it now. Returns -EINTR, after an error message, if a signal asks ebb to end. */
int provision_all(const struct ram *ram);

#endif
