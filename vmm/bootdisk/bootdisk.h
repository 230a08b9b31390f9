/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boots a disk image as a distribution made it: takes from it the kernel, the initrd and the
 * kernel's parameters that its boot loader would start by default. A child process reads the image
 * (reader.h); ebb only sees copies.
 *
 * Thread: main, before the process has others.
 */
#ifndef EBB_BOOTDISK_BOOTDISK_H
#define EBB_BOOTDISK_BOOTDISK_H

#include <limits.h>
#include <stdbool.h>

#define BOOTDISK_PATH_SIZE 32
#define BOOTDISK_NAME_SIZE (PATH_MAX + 512)
#define BOOTDISK_WAIT_S	   60 /* the child's time limit */

struct bootdisk {
	int kernel, initrd;		      /* copies in memory, or -1 */
	char kernel_file[BOOTDISK_PATH_SIZE]; /* names under which they can be opened */
	char initrd_file[BOOTDISK_PATH_SIZE]; /* "" if there is none */
	/* What they are in the image, "IMAGE:PATH", for messages. */
	char kernel_name[BOOTDISK_NAME_SIZE], initrd_name[BOOTDISK_NAME_SIZE];
	char params[2048];
};

#define BOOTDISK_NONE                                                                              \
	{                                                                                          \
		.kernel = -1, .initrd = -1,                                                        \
	}

/*
 * Finds the kernel to boot in the raw image or block device @file. @raw: even if it has the mark of
 * another format. Returns 0, or -errno after an error message. Call bootdisk_release() in both
 * cases, once the copies have been read.
 */
int bootdisk_find(struct bootdisk *boot, const char *file, bool raw);
/*
 * The same for an image of any format, which a server that speaks NBD reads: @server is a socket to it,
 * the caller's, and the image is its only export, without a name. @file: for messages.
 */
int bootdisk_find_served(struct bootdisk *boot, const char *file, int server);
void bootdisk_release(struct bootdisk *boot);

#endif
