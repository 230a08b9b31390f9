/* SPDX-License-Identifier: Apache-2.0 */
/* Of a guest that was saved while it ran, what came is put in order (vmm/snapshot/settle.h). Thread: main. */
#ifndef EBB_CMD_SNAPSHOT_SETTLE_H
#define EBB_CMD_SNAPSHOT_SETTLE_H

#include <stdint.h>

#include "vmm/cmd/snapshot_file.h"

/*
 * Replaces what @file has: then *@bytes is its size, and *@memory how many of these bytes are the memory of @guest. A process that can do
 * nothing else reads what came. Returns 0, or -errno after an error message.
 */
int snapshot_settle_file(struct snapshot_file *file, const char *guest, uint64_t *bytes,
			 uint64_t *memory);

#endif
