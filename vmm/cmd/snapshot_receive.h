/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest's ebb sends of it, and what we say to that meanwhile. Thread: main. */
#ifndef EBB_CMD_SNAPSHOT_RECEIVE_H
#define EBB_CMD_SNAPSHOT_RECEIVE_H

#include "vmm/cmd/snapshot_request.h"

/*
 * Has @guest saved, and writes what comes to @request->file, or to standard output. Afterwards the answer is in @guest->call, unless
 * @request->error or @request->silent is set.
 */
void snapshot_receive(struct request *request, struct guests *guests, struct guest *guest);
/* Writes what is held to standard output, but the last @keep bytes. Returns 0 or -errno. */
int snapshot_pass_on(struct request *request, size_t keep);

#endif
