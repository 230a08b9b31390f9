/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's console. The options are in console.c. */
#ifndef EBB_CONFIG_CONSOLE_H
#define EBB_CONFIG_CONSOLE_H

#include <stdbool.h>

#define VM_PORTS_MAX 2
#define VM_PORT_MAX  31 /* bytes of a name */

enum vm_console_kind {
	VM_CONSOLE_SERIAL,
	VM_CONSOLE_VIRTIO,
	VM_CONSOLE_NONE, /* a serial one: its output is dropped, and it has no input */
	VM_CONSOLE_FILE, /* likewise, with its output in @file */
};

struct vm_console {
	enum vm_console_kind kind;
	const char *file;		/* points into argv */
	int file_fd;			/* for VM_CONSOLE_FILE: filled in by ebb run */
	const char *port[VM_PORTS_MAX]; /* names; they point into argv */
	unsigned int ports;
	bool detach;
	const char *log; /* points into argv, or NULL: the default */
};

#endif
