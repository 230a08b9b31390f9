/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disks of a guest that goes on from a snapshot which has them (ebb snapshot --disks copy): of each a private copy without a
 * name, which shares the blocks of the saved one where the file system can, and is gone when the guest ends. A layer over the
 * saved image would start sooner where it cannot, but would take a format, and a program beside the guest, for what is a raw disk
 * that ebb serves itself. Thread: main.
 */
#ifndef EBB_CMD_RUN_DISKS_H
#define EBB_CMD_RUN_DISKS_H

#include "vmm/config/config.h"
#include "vmm/snapshot/saved_disks.h"

struct run_disks {
	int snapshot; /* its file, or -1 */
	unsigned int count;
	int copy[SAVED_DISKS_MAX]; /* descriptors */
	char *name[SAVED_DISKS_MAX];
};

#define RUN_DISKS_NONE                                                                             \
	{                                                                                          \
		.snapshot = -1                                                                     \
	}

/*
 * Makes the copies, and has @config name them, each in its place among the disks that the user gave. Returns 0, or -errno after an
 * error message. Call run_disks_release() in both cases, after the machine's, which has the names.
 */
int run_disks_init(struct run_disks *disks, struct vm_config *config);
/*
 * Once the machine is initialized: checks that the snapshot that it has opened is the one with these disks. Returns likewise.
 */
int run_disks_check(const struct run_disks *disks, const struct vm_config *config);
void run_disks_release(struct run_disks *disks);

#endif
