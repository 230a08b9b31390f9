/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's disks. The option is in disks.c. */
#ifndef EBB_CONFIG_DISKS_H
#define EBB_CONFIG_DISKS_H

#include <limits.h>
#include <stdbool.h>

#define VM_DISKS_MAX	 16
#define VM_IMAGE_DEFAULT "default" /* what is booted where nothing else is named */

enum vm_disk_format {
	VM_DISK_RAW,
	VM_DISK_QCOW2, /* by "format=qcow2", or by its header */
	VM_DISK_NBD,   /* the file is a URI */
};

struct vm_disk {
	char file[PATH_MAX];
	const char *name; /* in messages and figures, instead of the file's; or NULL */
	char backing
		[PATH_MAX]; /* "backing=DIR": where backing files may be; empty: only beside it */
	enum vm_disk_format format;
	bool said; /* the format was given by an option */
	bool read_only;
	bool raw;    /* "format=raw": use it as raw even if it looks like another format */
	bool sync;   /* "aio=sync": one request at a time */
	bool direct; /* "cache=none": past the host's page cache */
};

struct vm_disks {
	const char *image; /* the name of an image that is put before the other disks, or NULL */
	const char *user_data; /* the file for a disk that ebb makes, the last one; or NULL */
	unsigned int count;
	struct vm_disk disk[VM_DISKS_MAX]; /* in the order of the guest's vda, vdb, … */
};

/* Returns whether another process serves the disk, which has to see the guest's memory. */
static inline bool vm_disk_served(const struct vm_disk *disk)
{
	return disk->format != VM_DISK_RAW;
}

static inline bool vm_disks_served(const struct vm_disks *disks)
{
	for (unsigned int i = 0; i < disks->count; i++)
		if (vm_disk_served(&disks->disk[i]))
			return true;
	return false;
}

#endif
