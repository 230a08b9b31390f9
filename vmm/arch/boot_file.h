/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that a guest is started from, a kernel or an initrd: opened, measured, read to where it
 * belongs. Whatever is wrong is said here, with the file's name. What comes through a pipe is copied into
 * memory first, so that it too can be read at any place.
 *
 * Thread: main, while the machine is built. Returned: 0 or -errno.
 */
#ifndef EBB_ARCH_BOOT_FILE_H
#define EBB_ARCH_BOOT_FILE_H

#include <stdint.h>

#define BOOT_FILE_SILENCE_S 60

struct boot_file {
	const char *path;
	const char *what; /* "kernel" or "initrd" */
	int fd;
	uint64_t size; /* bytes, when it was opened; all that came, of a pipe */
};

/*
 * Opens a regular file or a pipe, of which at most @limit bytes are taken. A pipe is waited for until its
 * writers have closed it, a signal comes, or it is silent for BOOT_FILE_SILENCE_S.
 * boot_file_close() is for both cases.
 */
int boot_file_open(struct boot_file *source, const char *path, const char *what, uint64_t limit);
void boot_file_close(struct boot_file *source);

/* Reads @size bytes at @offset, all of them. */
int boot_file_read(const struct boot_file *source, uint64_t offset, void *to, uint64_t size);

#endif
