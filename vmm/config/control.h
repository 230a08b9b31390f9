/* SPDX-License-Identifier: Apache-2.0 */
/* The second control socket, which only reads. The option is in control.c. */
#ifndef EBB_CONFIG_CONTROL_H
#define EBB_CONFIG_CONTROL_H

#define VM_CONTROL_PATH_MAX  107 /* of a socket's address */
#define VM_CONTROL_GROUP_MAX 64

struct vm_control {
	char path[VM_CONTROL_PATH_MAX + 1];   /* or "": none */
	char group[VM_CONTROL_GROUP_MAX + 1]; /* a name or a number, or "" */
};

#endif
