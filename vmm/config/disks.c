// SPDX-License-Identifier: Apache-2.0
/* The option that gives the guest disks. */
#include <string.h>

#include "vmm/config/part.h"
#include "vmm/lib/option_keys.h"

enum { DISK, USER_DATA };

static const struct option options[] = {
	{DISK | OPTION_AGAIN, 'd', "disk", "FILE[,ro][,format=raw][,cache=none][,aio=sync]",
	 "add a raw image or a block device as a disk;\nro: read-only; format=raw: use it as raw even if\nit looks like another format; cache=none:\nbypass the host's page cache; aio=sync: do one\nrequest at a time, without io_uring;\ngive up to 16 of them",
	 false},
	{USER_DATA, 0, "user-data", "FILE",
	 "add a disk that configures a cloud image at its\nfirst start: FILE is cloud-init's user-data",
	 false},
};

enum { READ_ONLY, FORMAT, CACHE, AIO };

static const struct option_key keys[] = {
	{READ_ONLY, "ro", NULL, false},
	{FORMAT, "format", "raw", false},
	{CACHE, "cache", "none|writeback", false},
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
	if (strcmp(format, "raw") != 0)
		return options_fail(
			error,
			"unknown disk format \"%s\"; only raw is supported: \"qemu-img convert -O raw\" converts other formats",
			format);
	disk->raw = true;
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
	if (disks->count == VM_DISKS_MAX)
		return options_fail(error, "the disk \"%s\" is one too many; a guest can have %d",
				    value, VM_DISKS_MAX);
	struct vm_disk *disk = &disks->disk[disks->count++];
	*disk = (struct vm_disk){0};
	return option_keys_parse(&disk_keys, value, apply_key, disk, error);
}

static int check(void *ctx, struct option_error *error)
{
	const struct vm_disks *disks = &((const struct vm_config *)ctx)->disks;

	if (!disks->user_data || disks->count < VM_DISKS_MAX)
		return 0;
	return options_fail(error,
			    "there are %d disks, and that of --user-data would be one too many",
			    VM_DISKS_MAX);
}

const struct option_group config_disks = {
	.option = options,
	.options = sizeof(options) / sizeof(options[0]),
	.apply = apply,
	.check = check,
};
