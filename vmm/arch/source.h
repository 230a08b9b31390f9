/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that a guest is started from, a kernel or an initrd: opened, measured, read to where it
 * belongs. Whatever is wrong is said here, with the file's name.
 *
 * Thread: main, while the machine is built. Returned: 0 or -errno.
 */
#ifndef EBB_ARCH_SOURCE_H
#define EBB_ARCH_SOURCE_H

#include <stdint.h>

struct source {
	const char *path;
	const char *what; /* "kernel" or "initrd" */
	int fd;
	uint64_t size; /* bytes, when it was opened */
};

/* source_close() is for both cases. */
int source_open(struct source *source, const char *path, const char *what);
void source_close(struct source *source);

/* Reads @size bytes at @offset, all of them. */
int source_read(const struct source *source, uint64_t offset, void *to, uint64_t size);

#endif
