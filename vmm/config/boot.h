/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's kernel, its initrd and its parameters. The options are in boot.c. */
#ifndef EBB_CONFIG_BOOT_H
#define EBB_CONFIG_BOOT_H

#include <stdbool.h>

#define VM_PARAMS_SIZE 4096 /* more than the kernel of any architecture accepts */

struct vm_boot {
	const char *kernel;	     /* all file names point into argv; NULL: the first disk's */
	const char *initrd;	     /* or NULL */
	const char *kernel_name;     /* in messages, instead of the file's; or NULL */
	const char *initrd_name;     /* likewise */
	char params[VM_PARAMS_SIZE]; /* the guest's own kernel parameters, or "" */
	bool nodefaults;	     /* add no device or parameter that was not asked for */
	const char *dump_dtb;	     /* a file for the device tree, or NULL */
	const char *restore; /* the folder of a snapshot to go on from, or NULL; "-": a stream */
	int restore_fd;	     /* that stream, which machine_restore() closes */
	bool restore_all;    /* read and check all of its memory first */
	bool resume;	     /* let it run, also if it was saved while it was paused */
};

/*
 * Puts @text before the parameters, so that the user's own override it. Returns whether both fit; if not, the parameters
 * are cut off.
 */
bool config_params_before(struct vm_boot *boot, const char *text);

#endif
