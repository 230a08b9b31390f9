/* SPDX-License-Identifier: Apache-2.0 */
/* The host's folders that the guest sees. The option is in folders.c. */
#ifndef EBB_CONFIG_FOLDERS_H
#define EBB_CONFIG_FOLDERS_H

#include <limits.h>
#include <stdbool.h>

#include "vmm/lib/bind.h"

/* With all other devices, no more interrupt lines than an x86_64 guest has. */
#define VM_FOLDERS_MAX 2
#define VM_TAG_MAX     36 /* bytes: virtio 1.2 §5.11.4 */

struct vm_folder {
	char dir[PATH_MAX];
	char tag[VM_TAG_MAX + 1];
	bool read_only;
	const struct bind *
		parts; /* or NULL; else what the folder is made of, and @dir only their place; set by `ebb sandbox` */
	/* Set by `ebb pool --sandbox`: virtiofsd comes by the socket @server, when it is known which folder that is. */
	bool later;
	int server;
};

struct vm_folders {
	unsigned int count;
	struct vm_folder folder[VM_FOLDERS_MAX];
};

#endif
