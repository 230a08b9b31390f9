// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/device_blk.h"

#include <stdio.h>

static unsigned int disks_count(const struct vm_config *config)
{
	return config->disks.count;
}

static int disk_init(struct device *device, const struct vm_config *config)
{
	struct disk *disk = (struct disk *)device;
	const struct vm_disk *wanted = &config->disks.disk[device->number];

	snprintf(disk->id, sizeof(disk->id), "disk%u", device->number);
	device->virtio = &disk->blk.dev;
	const struct blk_config blk = {.file = wanted->file,
				       .name = wanted->name,
				       .read_only = wanted->read_only,
				       .raw = wanted->raw,
				       .direct = wanted->direct,
				       .one_by_one = wanted->sync,
				       .explain = device->number == 0,
				       .id = disk->id};
	return blk_init(&disk->blk, &blk, &device->slot.host);
}

static void disk_release(struct device *device)
{
	blk_release(&((struct disk *)device)->blk);
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
