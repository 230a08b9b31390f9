/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that a guest is started from: a kernel or an initrd. Data from a pipe is copied into
 * memory first, so that it can be read at any offset, too.
 *
 * Thread: main, while the machine is built. The functions return 0, or -errno after an error message
 * with the file's name.
 */
#ifndef EBB_ARCH_BOOT_FILE_H
#define EBB_ARCH_BOOT_FILE_H

#include <stdint.h>

#define BOOT_FILE_SILENCE_S 60 /* the longest that a pipe may be silent */

struct boot_file {
	const char *name; /* for messages */
	const char *what; /* "kernel" or "initrd" */
	int fd;
	uint64_t size; /* bytes, when opened; for a pipe, all that came */
};

/*
 * Opens the regular file or pipe @path; messages call it @name, or @path if that is NULL. A pipe is
 * read to its end: it fails if more than @limit bytes come, if a signal comes, or if the pipe is
 * silent for BOOT_FILE_SILENCE_S. Call boot_file_close() in either case.
 */
int boot_file_open(struct boot_file *source, const char *path, const char *name, const char *what,
		   uint64_t limit);
void boot_file_close(struct boot_file *source);

/* Reads all @size bytes at @offset. Storage may be slow: a signal makes the read fail. */
int boot_file_read(const struct boot_file *source, uint64_t offset, void *to, uint64_t size);

#endif
