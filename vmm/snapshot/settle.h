/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes a snapshot whose memory can be mapped of one that was sent while its guest ran (written.h): each page once, as it was last, and
 * in order.
 *
 * Thread: its owner's.
 */
#ifndef EBB_SNAPSHOT_SETTLE_H
#define EBB_SNAPSHOT_SETTLE_H

#include "vmm/snapshot/stream.h"

struct gpa_range;

/*
 * Reads the file @fd from its beginning to its end, checks all of it, and writes the snapshot. @region: the guest's @regions regions of
 * RAM, at most RAM_REGIONS_MAX. Takes 4 KiB of memory for each 2 MiB that the guest uses. Returns 0, or -errno: with @why set, of @size
 * bytes, if the file is at fault, or there is no memory (-ENOMEM); else of the writer, and "" in @why.
 */
int snapshot_settle(int fd, const struct gpa_range *region, unsigned int regions,
		    struct snapshot_writer *writer, char *why, size_t size);

#endif
