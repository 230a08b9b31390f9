/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's disks. The option is in disks.c. */
#ifndef EBB_CONFIG_DISKS_H
#define EBB_CONFIG_DISKS_H

#include <limits.h>
#include <stdbool.h>

#define VM_DISKS_MAX 16

struct vm_disk {
	char file[PATH_MAX];
	const char *name; /* in messages and figures, instead of the file's; or NULL */
	bool read_only;
	bool raw;    /* "format=raw": use it as raw even if it looks like another format */
	bool sync;   /* "aio=sync": one request at a time */
	bool direct; /* "cache=none": past the host's page cache */
};

struct vm_disks {
	const char *user_data; /* the file for a disk that ebb makes, the last one; or NULL */
	unsigned int count;
	struct vm_disk disk[VM_DISKS_MAX]; /* in the order of the guest's vda, vdb, … */
};

#endif
