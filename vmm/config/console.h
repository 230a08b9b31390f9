/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's console. The options are in console.c. */
#ifndef EBB_CONFIG_CONSOLE_H
#define EBB_CONFIG_CONSOLE_H

#include <stdbool.h>

enum vm_console_kind {
	VM_CONSOLE_SERIAL,
	VM_CONSOLE_VIRTIO,
	VM_CONSOLE_NONE, /* a serial one: its output is dropped, and it has no input */
	VM_CONSOLE_FILE, /* likewise, with its output in @file */
};

struct vm_console {
	enum vm_console_kind kind;
	const char *file; /* points into argv */
	int file_fd;	  /* for VM_CONSOLE_FILE: filled in by ebb run */
	bool detach;
	const char *log; /* points into argv, or NULL: the default */
};

#endif
