/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The working set of a guest that was restored: which pages of the snapshot it has used. It lies beside the snapshot, in a
 * stream of the same form, and tells what to read ahead when others are restored.
 *
 * It is advice: whatever it says, a guest reads the same memory. A reader checks it like a snapshot.
 *
 * Thread: its owner's.
 */
#ifndef EBB_SNAPSHOT_WORKING_SET_H
#define EBB_SNAPSHOT_WORKING_SET_H

#include "vmm/snapshot/pages.h"

/* Writes all of it. Returns 0 or the first -errno. */
int snapshot_working_set_write(struct snapshot_writer *writer, const struct snapshot_id *id,
			       const struct snapshot_memory *memory);
/*
 * Reads all of it. Checks that it is of the snapshot @id, and that all runs lie in @ram. Returns 0, or -errno with
 * reader->why set.
 */
int snapshot_working_set_read(struct snapshot_reader *reader, const struct snapshot_id *id,
			      const struct ram *ram, struct snapshot_memory *memory);

#endif
