// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/disks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/lib/log.h"

static int disk_init(struct disk *disk, const struct vm_disk *config, struct vm *vm,
		     struct bus *mmio)
{
	disk->file = strndup(config->file, config->length);
	if (!disk->file) {
		log_error("no memory is left for a disk's name");
		return -ENOMEM;
	}
	const struct blk_config blk = {
		.file = disk->file, .read_only = config->read_only, .id = disk->id};
	int error = blk_init(&disk->blk, &blk, &disk->slot.host);
	return error ? error : mmio_slot_attach(&disk->slot, &disk->blk.dev, vm, mmio);
}

int disks_init(struct disks *disks, const struct vm_config *config, unsigned int first,
	       const struct ram *ram, const struct arch_platform *platform, struct vm *vm,
	       struct bus *mmio)
{
	int error = 0;

	/* Not in the struct: most guests have none, and pay for none. */
	disks->disk = config->disks ? calloc(config->disks, sizeof(disks->disk[0])) : NULL;
	if (config->disks && !disks->disk) {
		log_error("no memory is left for %u disks", config->disks);
		return -ENOMEM;
	}
	for (unsigned int i = 0; i < config->disks && !error; i++) {
		struct disk *disk = &disks->disk[disks->count++];
		snprintf(disk->id, sizeof(disk->id), "disk%u", i);
		error = mmio_slot_init(&disk->slot, first + i, ram, platform);
		if (!error)
			error = disk_init(disk, &config->disk[i], vm, mmio);
	}
	return error;
}

void disks_release(struct disks *disks)
{
	while (disks->count > 0) {
		struct disk *disk = &disks->disk[--disks->count];
		mmio_slot_release(&disk->slot);
		blk_release(&disk->blk);
		free(disk->file);
	}
	free(disks->disk);
	disks->disk = NULL;
}

int disks_start(struct disks *disks)
{
	int error = 0;
	for (unsigned int i = 0; i < disks->count && !error; i++)
		error = mmio_slot_start(&disks->disk[i].slot);
	return error;
}

void disks_stop(struct disks *disks)
{
	for (unsigned int i = 0; i < disks->count; i++)
		mmio_slot_stop(&disks->disk[i].slot);
}
