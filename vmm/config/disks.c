// SPDX-License-Identifier: Apache-2.0
/* The option that gives the guest disks. */
#include <string.h>

#include "vmm/config/part.h"
#include "vmm/lib/image_format.h"
#include "vmm/lib/option_keys.h"

enum { DISK, IMAGE, USER_DATA };

static const struct option options[] = {
	{DISK | OPTION_AGAIN, 'd', "disk",
	 "FILE[,ro][,format=raw|qcow2][,backing=DIR][,cache=none][,aio=sync]",
	 "add a raw image, a block device, or, by\nqemu-storage-daemon, a qcow2 image or\nnbd://HOST[:PORT][/NAME] or\nnbd+unix:///[NAME]?socket=PATH as a disk;\nro: read-only; format=raw: use it as raw even if\nit looks like another format; backing=DIR: its\nbacking files may be there, too; cache=none:\nbypass the host's page cache; aio=sync: do one\nrequest at a time, without io_uring;\ngive up to 16 of them; the first may be a folder\nDIR[,ro]: the guest's root, by virtiofsd",
	 false},
	{IMAGE, 0, "image", "NAME",
	 "an image that \"ebb setup\" made, as the first disk;\n\"default\" without a kernel, a disk or a snapshot",
	 false},
	{USER_DATA, 0, "user-data", "FILE",
	 "add a disk that configures a cloud image at its\nfirst start: FILE is cloud-init's user-data",
	 false},
};

enum { READ_ONLY, FORMAT, BACKING, CACHE, AIO };

static const struct option_key keys[] = {
	{READ_ONLY, "ro", NULL, false},	      {FORMAT, "format", "raw|qcow2", false},
	{BACKING, "backing", "DIR", false},   {CACHE, "cache", "none|writeback", false},
	{AIO, "aio", "sync|io_uring", false},
};

static const struct option_keys disk_keys = {"disk", "FILE", keys, sizeof(keys) / sizeof(keys[0])};

static int set_file(struct vm_disk *disk, const char *file, struct option_error *error)
{
	if (!*file)
		return options_fail(error, "a disk's file name is empty; name the file");
	snprintf(disk->file, sizeof(disk->file), "%s", file); /* a part of a value fits */
	return 0;
}

static int set_format(struct vm_disk *disk, const char *format, struct option_error *error)
{
	disk->raw = strcmp(format, "raw") == 0;
	if (!disk->raw && strcmp(format, "qcow2") != 0)
		return options_fail(
			error,
			"unknown disk format \"%s\"; write raw or qcow2: \"qemu-img convert -O qcow2\" converts other formats",
			format);
	disk->format = disk->raw ? VM_DISK_RAW : VM_DISK_QCOW2;
	disk->said = true;
	return 0;
}

static int set_backing(struct vm_disk *disk, const char *dir, struct option_error *error)
{
	if (!*dir)
		return options_fail(error, "backing= of a disk is empty; name a folder");
	snprintf(disk->backing, sizeof(disk->backing), "%s", dir); /* a part of a value fits */
	return 0;
}

static int set_cache(struct vm_disk *disk, const char *cache, struct option_error *error)
{
	disk->direct = strcmp(cache, "none") == 0;
	if (!disk->direct && strcmp(cache, "writeback") != 0)
		return options_fail(
			error, "unknown cache \"%s\" of a disk; write none or writeback", cache);
	return 0;
}

static int set_aio(struct vm_disk *disk, const char *aio, struct option_error *error)
{
	disk->sync = strcmp(aio, "sync") == 0;
	if (!disk->sync && strcmp(aio, "io_uring") != 0)
		return options_fail(error, "unknown aio \"%s\" of a disk; write sync or io_uring",
				    aio);
	return 0;
}

static int apply_key(void *ctx, int id, const char *value, struct option_error *error)
{
	struct vm_disk *disk = ctx;
	switch (id) {
	case READ_ONLY:
		disk->read_only = true;
		return 0;
	case FORMAT:
		return set_format(disk, value, error);
	case BACKING:
		return set_backing(disk, value, error);
	case CACHE:
		return set_cache(disk, value, error);
	case AIO:
		return set_aio(disk, value, error);
	default:
		return set_file(disk, value, error);
	}
}

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	struct vm_disks *disks = &((struct vm_config *)ctx)->disks;

	if (id == USER_DATA)
		return config_file(&disks->user_data, "user-data", value, error);
	if (id == IMAGE)
		return config_file(&disks->image, "image", value, error);
	if (disks->count == VM_DISKS_MAX)
		return options_fail(error, "the disk \"%s\" is one too many; a guest can have %d",
				    value, VM_DISKS_MAX);
	struct vm_disk *disk = &disks->disk[disks->count++];
	*disk = (struct vm_disk){0};
	return option_keys_parse(&disk_keys, value, apply_key, disk, error);
}

static bool is_nbd(const char *file)
{
	return strncmp(file, "nbd://", 6) == 0 || strncmp(file, "nbd+unix://", 11) == 0;
}

/* What the user did not say is found out: by the name of what is no file, or by the file's header. */
static int check_format(struct vm_disk *disk, struct option_error *error)
{
	if (!disk->said && is_nbd(disk->file))
		disk->format = VM_DISK_NBD;
	else if (!disk->said && image_format_is_qcow2(disk->file))
		disk->format = VM_DISK_QCOW2;
	if (disk->backing[0] && disk->format != VM_DISK_QCOW2)
		return options_fail(error,
				    "the disk \"%s\" is no qcow2 image, and has no backing "
				    "files; leave out backing=",
				    disk->file);
	if (disk->sync && vm_disk_served(disk))
		return options_fail(error,
				    "aio=sync is for raw disks, and \"%s\" is none; leave it out",
				    disk->file);
	return 0;
}

static int check(void *ctx, struct option_error *error)
{
	struct vm_disks *disks = &((struct vm_config *)ctx)->disks;
	int folder = config_root_folder(ctx, error);

	if (folder)
		return folder;
	for (unsigned int i = 0; i < disks->count; i++) {
		int failed = check_format(&disks->disk[i], error);
		if (failed)
			return failed;
	}
	unsigned int more = (disks->image ? 1 : 0) + (disks->user_data ? 1 : 0);
	if (disks->count + more <= VM_DISKS_MAX)
		return 0;
	return options_fail(error, "there are %u disks, and that of %s would be one too many",
			    disks->count, disks->user_data ? "--user-data" : "--image");
}

const struct option_group config_disks = {
	.option = options,
	.options = sizeof(options) / sizeof(options[0]),
	.apply = apply,
	.check = check,
};
