/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts that `ebb run` makes before the machine, from the user's options: kernel and initrd from
 * the first disk, and the disk of --user-data. Thread: main.
 */
#ifndef EBB_CMD_RUN_BOOT_H
#define EBB_CMD_RUN_BOOT_H

#include "vmm/bootdisk/bootdisk.h"
#include "vmm/config/config.h"

struct run_boot {
	struct bootdisk disk;
	int seed; /* descriptor of the disk of --user-data, or -1 */
};

#define RUN_BOOT_NONE                                                                              \
	{                                                                                          \
		.disk = BOOTDISK_NONE, .seed = -1,                                                 \
	}

/*
 * Makes these parts and changes @config to name them. Returns 0, or -errno after an error message.
 * Call run_boot_release() in both cases, once the machine is initialized.
 */
int run_boot_init(struct run_boot *boot, struct vm_config *config);
void run_boot_release(struct run_boot *boot);

#endif
