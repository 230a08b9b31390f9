/* SPDX-License-Identifier: Apache-2.0 */
/* What an increment is based on: ebb snapshot --base FOLDER. Thread: main. */
#ifndef EBB_CMD_SNAPSHOT_BASE_H
#define EBB_CMD_SNAPSHOT_BASE_H

#include <stdbool.h>

#include "vmm/cmd/snapshot_file.h"

/*
 * Opens the snapshot in @folder with all that it is based on, and has @file's folder keep them, too. Returns 0, or -1 after an error
 * message. Call snapshot_chain_release() in both cases, after snapshot_file_end().
 */
int snapshot_base_open(struct snapshot_file *file, struct snapshot_chain *bases,
		       const char *folder);

/*
 * Finds out of which snapshot in the folder @folder what came is an increment: the first, or one that this is based on, as when
 * a clone is saved for a second time to the folder of its base. Those before it are not needed. Returns whether there is one;
 * else prints an error message about @guest.
 */
bool snapshot_base_find(struct snapshot_file *file, const struct snapshot_chain *bases,
			const char *folder, const char *guest);

#endif
