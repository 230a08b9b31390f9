/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `ebb run` makes before the machine, from what the user gave: kernel and initrd from the first disk, and the
 * disk of --user-data. Thread: main.
 */
#ifndef EBB_CMD_RUN_BOOT_H
#define EBB_CMD_RUN_BOOT_H

#include "vmm/bootdisk/bootdisk.h"
#include "vmm/config/config.h"

struct run_boot {
	struct bootdisk disk;
	int seed; /* the disk of --user-data, or -1 */
};

#define RUN_BOOT_NONE                                                                              \
	{                                                                                          \
		.disk = BOOTDISK_NONE, .seed = -1,                                                 \
	}

/*
 * Changes @config to name what was made. Returns 0, or -errno having said why. Call run_boot_release() in both
 * cases, once the machine is initialized.
 */
int run_boot_init(struct run_boot *boot, struct vm_config *config);
void run_boot_release(struct run_boot *boot);

#endif
