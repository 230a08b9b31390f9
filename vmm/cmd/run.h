/* SPDX-License-Identifier: Apache-2.0 */
/* What `ebb run` does, for `ebb sandbox`. */
#ifndef EBB_CMD_RUN_H
#define EBB_CMD_RUN_H

struct vm_config;

/*
 * Runs a guest in this process, its console on standard input and output, until it ends. Returns the exit
 * status, as of `ebb run`. Thread: main, of a process that has no other.
 */
int run_guest(struct vm_config *config);

#endif
