// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/device_blk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"

static unsigned int disks_count(const struct vm_config *config)
{
	return config->disks.count;
}

/* --- a raw disk ------------------------------------------------------------------------------ */

/* A raw disk of that name could be made to look like an image by its guest. */
static int check_name(const struct vm_disk *wanted)
{
	size_t len = strlen(wanted->file);

	if (wanted->raw || len < 6 || strcmp(wanted->file + len - 6, ".qcow2") != 0)
		return 0;
	if (access(wanted->file, R_OK) < 0)
		return 0; /* blk_init() tells why */
	log_error("the disk '%s' is no qcow2 image, in spite of its name: write FILE,format=raw if "
		  "it is a raw disk",
		  wanted->file);
	return -EINVAL;
}

/* Returns a descriptor of the same file, with errors of its own; or -1. */
static int open_again(const struct image *image)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", image->fd);
	return image->read_only ? -1 : open(path, O_RDONLY | O_CLOEXEC);
}

static int raw_init(struct disk *disk, const struct vm_disk *wanted)
{
	const struct blk_config blk = {.file = wanted->file,
				       .name = wanted->name,
				       .read_only = wanted->read_only,
				       .raw = wanted->raw,
				       .direct = wanted->direct,
				       .one_by_one = wanted->sync,
				       .explain = disk->device.number == 0,
				       .id = disk->id};

	int error = check_name(wanted);
	if (error)
		return error;
	error = blk_init(&disk->blk, &blk, &disk->device.slot.host);
	disk->direct = disk->blk.image.direct;
	if (!error)
		disk->again = open_again(&disk->blk.image);
	return error;
}

/* --- any other, by qemu-storage-daemon ------------------------------------------------------- */

static int find_storage(struct disk *disk, const struct vm_disk *wanted,
			struct storage_config *config, struct storage_nbd *nbd)
{
	const struct storage_image image = {.file = wanted->file,
					    .is_nbd = wanted->format == VM_DISK_NBD,
					    .read_only = wanted->read_only,
					    .said = wanted->said,
					    .backing = wanted->backing[0] ? wanted->backing : NULL};

	config->direct = wanted->direct;
	int error = storage_find(&image, config, nbd, &disk->locks);
	if (error || image.is_nbd)
		return error;
	disk->backing_files = config->layers - 1;
	disk->about = open(wanted->file, O_PATH | O_CLOEXEC);
	return 0;
}

/* The driver is told what the program says of the disk. */
static int configure(struct disk *disk, const struct vm_disk *wanted)
{
	int error = blk_served_configure(&disk->remote, wanted->read_only,
					 clock_ns() + BACKEND_READY_MS * NS_PER_MS);

	if (error)
		log_error("%s cannot serve the disk '%s': it does not speak vhost-user as ebb does "
			  "(%s)",
			  storage_program.name, wanted->file, strerror(-error));
	return error;
}

static int served_disk_init(struct disk *disk, const struct vm_disk *wanted)
{
	struct storage_config *config = calloc(1, sizeof(*config));
	struct vhost_user_device *device = &disk->remote.served;
	char what[PATH_MAX + 16];
	struct storage_nbd nbd;

	disk->is_served = true;
	disk->direct = wanted->direct;
	disk->format = wanted->format == VM_DISK_QCOW2 ? "qcow2" : "nbd";
	disk->device.virtio = &device->dev;
	struct vhost_user_config remote =
		served_init(&disk->served, device, &disk->device.slot.worker.loop);
	snprintf(remote.name, sizeof(remote.name), "%s", disk->id);
	int error = blk_served_init(&disk->remote, &remote, &disk->device.slot.host);
	if (!error && !config) {
		log_error("cannot set up a disk: %s", strerror(ENOMEM));
		error = -ENOMEM;
	}
	if (!error)
		error = find_storage(disk, wanted, config, &nbd);
	snprintf(what, sizeof(what), "the disk '%s'", wanted->file);
	if (!error)
		error = served_start(&disk->served, &storage_program, config, what);
	if (!error)
		error = configure(disk, wanted);
	free(config);
	return error;
}

/* --------------------------------------------------------------------------------------------- */

static int disk_init(struct device *device, const struct vm_config *config)
{
	struct disk *disk = (struct disk *)device;
	const struct vm_disk *wanted = &config->disks.disk[device->number];

	snprintf(disk->id, sizeof(disk->id), "disk%u", device->number);
	disk->about = disk->again = -1;
	disk->file = wanted->name ? wanted->name : wanted->file;
	disk->format = "raw";
	device->virtio = &disk->blk.dev;
	return vm_disk_served(wanted) ? served_disk_init(disk, wanted) : raw_init(disk, wanted);
}

static void disk_release(struct device *device)
{
	struct disk *disk = (struct disk *)device;

	if (!disk->is_served) {
		blk_release(&disk->blk);
		if (disk->again >= 0)
			close(disk->again);
		return;
	}
	blk_served_release(&disk->remote);
	served_release(&disk->served);
	storage_locks_release(&disk->locks);
	if (disk->about >= 0)
		close(disk->about);
}

static const char *disk_shares_ram(const struct device *device)
{
	return ((const struct disk *)device)->is_served ? "a disk that is not raw" : NULL;
}

uint64_t disk_allocated(const struct disk *disk)
{
	const struct image *image = &disk->blk.image;
	int fd = disk->is_served ? disk->about : image->fd;
	bool is_file = disk->is_served ? fd >= 0 : !image->device;
	struct stat st;

	return is_file && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? 512ULL * st.st_blocks
								     : disk_size(disk);
}

const struct device_kind device_blk = {
	.name = "disk",
	.size = sizeof(struct disk),
	.count = disks_count,
	.init = disk_init,
	.release = disk_release,
	.shares_ram = disk_shares_ram,
};

struct disk *machine_disk(const struct machine *machine, unsigned int number)
{
	return (struct disk *)machine_find(machine, &device_blk, number);
}

static int flush_failed(unsigned int number, int error, struct why *why)
{
	return why_set(why, error, "what it has written to its disk %u cannot be flushed: %s",
		       number, strerror(-error));
}

int disks_flush(const struct machine *machine, struct why *why)
{
	struct disk *disk;

	for (unsigned int i = 0; (disk = machine_disk(machine, i)); i++) {
		int error =
			disk->is_served || disk_read_only(disk) ? 0 : image_flush(&disk->blk.image);
		if (error)
			return flush_failed(i, error, why);
	}
	return 0;
}

int disks_flush_ahead(const struct machine *machine, struct why *why)
{
	const struct disk *disk;

	for (unsigned int i = 0; (disk = machine_disk(machine, i)); i++) {
		int failed = 0;
		if (disk->again >= 0)
			do
				failed = disk->blk.image.calls->fdatasync(disk->again);
			while (failed && errno == EINTR);
		if (failed)
			return flush_failed(i, -errno, why);
	}
	return 0;
}
