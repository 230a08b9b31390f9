// SPDX-License-Identifier: Apache-2.0
/* The option that gives the guest disks. */
#include <string.h>

#include "vmm/config/part.h"
#include "vmm/lib/option_keys.h"

enum { DISK };

static const struct option options[] = {
	{DISK | OPTION_AGAIN, 'd', "disk", "FILE[,ro][,format=raw]",
	 "a raw image or a block device as a disk, ro for\n"
	 "reading only, format=raw if it is meant to look\n"
	 "like another format; again for more, up to 8",
	 false},
};

enum { READ_ONLY, FORMAT };

static const struct option_key keys[] = {
	{READ_ONLY, "ro", NULL},
	{FORMAT, "format", "raw"},
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
		return options_fail(error,
				    "unknown format \"%s\" of a disk; there is only raw: qemu-img "
				    "convert -O raw makes it of others",
				    format);
	disk->raw = true;
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
	default:
		return set_file(disk, value, error);
	}
}

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	struct vm_disks *disks = &((struct vm_config *)ctx)->disks;

	(void)id; /* there is one */
	if (disks->count == VM_DISKS_MAX)
		return options_fail(error, "the disk \"%s\" is one too many; a guest can have %d",
				    value, VM_DISKS_MAX);
	return option_keys_parse(&disk_keys, value, apply_key, &disks->disk[disks->count++], error);
}

const struct option_group config_disks = {
	.option = options,
	.options = sizeof(options) / sizeof(options[0]),
	.apply = apply,
};
