/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest of `ebb sandbox` sees of the host's files, and which kernel it has. Thread: main.
 */
#ifndef EBB_AGENT_FILES_H
#define EBB_AGENT_FILES_H

#include <limits.h>
#include <stdbool.h>

#include "vmm/lib/bind.h"

/* Folders that are shared: the current one, and those of --fs and --rw. */
#define FILES_DIRS_MAX	 32
#define FILES_NESTED_MAX 24 /* of those, in others of them; a folder in two of these counts twice */
#define FILES_PARTS_MAX	 (64 + FILES_DIRS_MAX + FILES_NESTED_MAX)

/* The server of the folders cannot change one, unless it is writable. */
enum files_access {
	FILES_LAYERED,	 /* what the command changes stays in its guest */
	FILES_READ_ONLY, /* it cannot change anything */
	FILES_WRITABLE,
};

struct files_dir {
	char path[PATH_MAX]; /* absolute, without symbolic links */
	enum files_access access;
};

/* The parts of the folder that the guest is given. Owned by the caller; starts as all zeros. */
struct files {
	unsigned int dirs;
	struct files_dir dir[FILES_DIRS_MAX];
	struct bind part[FILES_PARTS_MAX + 1];
	char at[FILES_DIRS_MAX][16];
	unsigned int nests;
	char nested[FILES_NESTED_MAX][PATH_MAX];
};

/*
 * Adds a folder or file. One that is there already keeps its access, unless that is FILES_LAYERED. Returns 0, -E2BIG, -EISDIR for
 * the root folder, -EEXIST if it is to be both read-only and writable, or -errno if it cannot be found.
 */
int files_add(struct files *files, const char *path, enum files_access access);
/*
 * Fills in the parts: what programs need of the host's system, and the folders, which it sorts: one that lies in another
 * one comes after it. Returns 0, or -E2BIG if too many do.
 */
int files_finish(struct files *files);

/*
 * Finds the kernel and the initrd that `make guest` has built, or `make install-guest` has installed, beside
 * the running ebb. Returns 0, or -ENOENT with @kernel set to a place where they were looked for.
 */
int files_find_guest(char kernel[PATH_MAX], char initrd[PATH_MAX]);

#endif
