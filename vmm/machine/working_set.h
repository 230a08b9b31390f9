/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A restored guest reads its memory from the snapshot's file where it uses it, and waits for the storage at each place that
 * the host has not read yet. What one guest has used, others that are restored from the same snapshot will use: it can be
 * kept beside the snapshot (vmm/snapshot/working_set.h), and is then read ahead, all at once.
 *
 * Source: madvise(2) for MADV_WILLNEED; mm/readahead.c, force_page_cache_ra(), for how much one call reads.
 */
#ifndef EBB_MACHINE_WORKING_SET_H
#define EBB_MACHINE_WORKING_SET_H

#include <stdint.h>

#include "vmm/lib/why.h"
#include "vmm/snapshot/stream.h"

struct machine;

/*
 * Has the host read ahead what the file "working-set" in the folder @folder names, open as @fd, or -errno; if it is of the
 * snapshot that RAM is a mapping of: one that is not, or is damaged, gets a warning, and changes nothing. Does not wait for
 * what is read, and takes at most about 100 ms. Main thread, before the guest runs.
 */
void working_set_read_ahead(struct machine *machine, int fd, const char *folder);

/* Returns 0, or -EOPNOTSUPP with @why set: it is not known what the guest has used of a snapshot. Main thread. */
int working_set_can_save(const struct machine *machine, struct why *why);

/*
 * Writes which pages of its snapshot the guest has used until now. *@pages: how many. For one that can. Returns 0, or -errno with
 * @why set. Thread: as machine_save(), one of both at a time.
 */
int working_set_save(struct machine *machine, struct snapshot_writer *writer, uint64_t *pages,
		     struct why *why);

#endif
