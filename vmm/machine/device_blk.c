// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/device_blk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/lib/log.h"

static unsigned int disks_count(const struct vm_config *config)
{
	return config->disks;
}

static int disk_init(struct device *device, const struct vm_config *config)
{
	struct disk *disk = (struct disk *)device;
	const struct vm_disk *wanted = &config->disk[device->number];

	snprintf(disk->id, sizeof(disk->id), "disk%u", device->number);
	device->virtio = &disk->blk.dev;
	disk->file = strndup(wanted->file, wanted->length);
	if (!disk->file) {
		log_error("no memory is left for a disk's name");
		return -ENOMEM;
	}
	const struct blk_config blk = {
		.file = disk->file, .read_only = wanted->read_only, .id = disk->id};
	return blk_init(&disk->blk, &blk, &device->slot.host);
}

static void disk_release(struct device *device)
{
	struct disk *disk = (struct disk *)device;
	blk_release(&disk->blk);
	free(disk->file);
}

const struct device_kind device_blk = {
	.name = "disk",
	.size = sizeof(struct disk),
	.count = disks_count,
	.init = disk_init,
	.release = disk_release,
};

struct disk *machine_disk(const struct machine *machine, unsigned int number)
{
	return (struct disk *)machine_find(machine, &device_blk, number);
}
