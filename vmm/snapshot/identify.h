/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which snapshots these are, and what they are based on, as a process tells it that can do nothing else (vmm/lib/confined.h): for
 * commands, which are in no sandbox, and need to know no more of a stranger's snapshot.
 *
 * Of each layer only fd, id, is_increment, base and is_paused are set. Nothing is trusted: it may be what the snapshot had that
 * process say.
 *
 * Thread: main, before the process has others.
 */
#ifndef EBB_SNAPSHOT_IDENTIFY_H
#define EBB_SNAPSHOT_IDENTIFY_H

#include "vmm/lib/confined.h"
#include "vmm/snapshot/chain.h"

/* As snapshot_chain_files() and snapshot_chain_open(), all that is in @folder. */
int snapshot_chain_identify(struct snapshot_chain *chain, int folder);
/* One alone, whose file is @fd; it stays open, and is read to its end. layer[0]->fd is -1. */
int snapshot_identify(struct snapshot_chain *chain, int fd);

/* Adds to what @confined keeps open: the snapshot, and all that it may be based on. */
void snapshot_files_keep(const struct snapshot_files *files, struct confined *confined);

#endif
