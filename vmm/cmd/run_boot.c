// SPDX-License-Identifier: Apache-2.0
#include "vmm/cmd/run_boot.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/bootdisk/seed.h"
#include "vmm/lib/log.h"

/* Puts the user's own parameters last, so that they override the disk's. */
static int join_params(struct vm_boot *boot, const char *disk)
{
	char own[VM_PARAMS_SIZE];

	memcpy(own, boot->params, sizeof(own));
	int len = snprintf(boot->params, sizeof(boot->params), "%s%s%s", disk,
			   disk[0] && own[0] ? " " : "", own);
	if (len < (int)sizeof(boot->params))
		return 0;
	log_error(
		"the kernel parameters are too long; write %zu bytes or less beside the disk's own",
		sizeof(boot->params) - 2 - strlen(disk));
	return -E2BIG;
}

static int boot_from_disk(struct bootdisk *disk, struct vm_config *config)
{
	const struct vm_disk *first = &config->disks.disk[0];

	if (vm_disk_served(first)) {
		log_error("ebb finds a kernel in raw disks alone, and '%s' is none: name a kernel, "
			  "or convert the disk with qemu-img convert -O raw",
			  first->file);
		return -EINVAL;
	}
	int error = bootdisk_find(disk, first->file, first->raw);
	if (error)
		return error;
	config->boot.kernel = disk->kernel_file;
	config->boot.initrd = disk->initrd_file[0] ? disk->initrd_file : NULL;
	config->boot.kernel_name = disk->kernel_name;
	config->boot.initrd_name = disk->initrd_name;
	return join_params(&config->boot, disk->params);
}

/* Adds the disk of --user-data; config_parse() has checked that there is room for it. */
static int add_seed(struct run_boot *boot, struct vm_config *config)
{
	struct vm_disks *disks = &config->disks;
	struct vm_disk *disk = &disks->disk[disks->count];

	boot->seed = seed_make(disks->user_data, config->machine.name);
	if (boot->seed < 0)
		return boot->seed;
	*disk = (struct vm_disk){.name = disks->user_data, .read_only = true, .raw = true};
	snprintf(disk->file, sizeof(disk->file), "/proc/self/fd/%d", boot->seed);
	disks->count++;
	return 0;
}

int run_boot_init(struct run_boot *boot, struct vm_config *config)
{
	*boot = (struct run_boot)RUN_BOOT_NONE;
	int error = config->boot.kernel ? 0 : boot_from_disk(&boot->disk, config);
	if (!error && config->disks.user_data)
		error = add_seed(boot, config);
	return error;
}

void run_boot_release(struct run_boot *boot)
{
	bootdisk_release(&boot->disk);
	if (boot->seed >= 0)
		close(boot->seed);
	boot->seed = -1;
}
