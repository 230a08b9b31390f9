/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of a folder with a snapshot, opened before any of them is read: what is in them is a stranger's, and may be
 * read where no file can be opened any more (vmm/sandbox). An increment names what it is based on, so each file that could
 * be that is opened. Of the folder only the names of files count: a link could choose which of the user's files are open
 * there, and none is followed.
 *
 * Thread: its owner's.
 */
#ifndef EBB_SNAPSHOT_FILES_H
#define EBB_SNAPSHOT_FILES_H

#include <stdbool.h>

#include "vmm/snapshot/pages.h"

/* An id in hexadecimal. */
#define SNAPSHOT_ID_TEXT (2 * sizeof(struct snapshot_id) + 1)
/* Of a base's file. */
#define SNAPSHOT_BASE_PREFIX "base-"
#define SNAPSHOT_BASE_NAME   (sizeof(SNAPSHOT_BASE_PREFIX) - 1 + SNAPSHOT_ID_TEXT)
/* A folder has as many as a snapshot needs (chain.h), and for a moment those of another. */
#define SNAPSHOT_BASES_MAX 64
/* What to say for -E2BIG. */
#define SNAPSHOT_BASES_TOO_MANY "there are too many files beside it"

/* A file that was not opened is -errno instead of a descriptor: -EINVAL if it is no plain file, -EPERM if another user's. */
struct snapshot_files {
	int snapshot, working_set;
	unsigned int bases;
	struct {
		char name[SNAPSHOT_BASE_NAME];
		int fd;
	} base[SNAPSHOT_BASES_MAX];
};

#define SNAPSHOT_FILES_NONE                                                                        \
	{                                                                                          \
		.snapshot = -1, .working_set = -1                                                  \
	}

/*
 * Opens all there are in the folder @folder, as they were at one moment, though a snapshot may be replaced meanwhile.
 * Returns 0 if there is a snapshot, or -errno: -E2BIG if there are too many bases, or names. Where names cannot be read
 * there are no bases. Call snapshot_files_close() in both cases.
 */
int snapshot_files_open(struct snapshot_files *files, int folder);
/* Returns the descriptor of the base @id, which is the caller's from now on; or -errno. */
int snapshot_files_take_base(struct snapshot_files *files, const struct snapshot_id *id);
void snapshot_files_close(struct snapshot_files *files);

void snapshot_id_text(const struct snapshot_id *id, char text[SNAPSHOT_ID_TEXT]);
/* Returns whether all of @text is what that writes, and sets @id then. */
bool snapshot_id_read(const char *text, struct snapshot_id *id);
/* Writes the name of the file of the base @id. */
void snapshot_base_name(const struct snapshot_id *id, char name[SNAPSHOT_BASE_NAME]);

/*
 * Opens a snapshot, or a file beside one: only a plain file, no link to one, and nothing that another could make ebb wait for.
 * Returns a descriptor, or -errno: -EINVAL if it is no plain file.
 */
int snapshot_open_plain(int folder, const char *path);
/*
 * Likewise what belongs to the snapshot in @folder, as where it is saved (cmd/snapshot_file.c): others, who may add to the folder,
 * add none. -EPERM if it is neither the folder's owner's, nor ours, nor root's.
 */
int snapshot_open_beside(int folder, const char *name);

/* Says why the snapshot in the folder @folder was not opened: @error, which it returns. */
int snapshot_not_opened(const char *folder, int error);

#endif
