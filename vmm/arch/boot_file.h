/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that a guest is started from, a kernel or an initrd: opened, measured, read to where it
 * belongs. Whatever is wrong is said here, with the file's name.
 *
 * Thread: main, while the machine is built. Returned: 0 or -errno.
 */
#ifndef EBB_ARCH_BOOT_FILE_H
#define EBB_ARCH_BOOT_FILE_H

#include <stdint.h>

struct boot_file {
	const char *path;
	const char *what; /* "kernel" or "initrd" */
	int fd;
	uint64_t size; /* bytes, when it was opened */
};

/* boot_file_close() is for both cases. */
int boot_file_open(struct boot_file *source, const char *path, const char *what);
void boot_file_close(struct boot_file *source);

/* Reads @size bytes at @offset, all of them. */
int boot_file_read(const struct boot_file *source, uint64_t offset, void *to, uint64_t size);

#endif
