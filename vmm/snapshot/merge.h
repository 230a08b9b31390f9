/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes one whole snapshot of an increment and all that it is based on.
 *
 * Thread: its owner's.
 */
#ifndef EBB_SNAPSHOT_MERGE_H
#define EBB_SNAPSHOT_MERGE_H

#include "vmm/snapshot/chain.h"

/*
 * Reads all of @chain, which was opened, checks it, and writes the snapshot. @region: the guest's @regions regions of RAM, in
 * one of which each run must lie. Returns 0, or -errno: with chain->why set if the chain is at fault, else of the writer.
 */
int snapshot_merge(struct snapshot_chain *chain, const struct gpa_range *region,
		   unsigned int regions, struct snapshot_writer *writer);

#endif
