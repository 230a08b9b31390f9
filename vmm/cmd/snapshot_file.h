/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file in a folder of a snapshot, which gets its name last, when all of it is on the disk. At every moment the folder has
 * the last snapshot that is whole, and all that this one is based on.
 *
 * Thread: main.
 */
#ifndef EBB_CMD_SNAPSHOT_FILE_H
#define EBB_CMD_SNAPSHOT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/snapshot/chain.h"
#include "vmm/snapshot/saved_disks.h"

#define SNAPSHOT_FILE	     "snapshot"
#define WORKING_SET_FILE     "working-set"
#define SNAPSHOT_FILE_BUFFER (256 * 1024)

struct snapshot_file {
	const char *folder;
	const char *name; /* SNAPSHOT_FILE or WORKING_SET_FILE */
	int dir, fd;	  /* of the folder; of the file; or -1 */
	bool made;	  /* the folder is new */
	bool named;	  /* the file has a name already, an unfinished one's */
	/* What it is based on, or NULL; which of these this folder had not before. */
	const struct snapshot_chain *bases;
	bool linked[SNAPSHOT_CHAIN_MAX];
	unsigned int first; /* of @bases: those before it are not needed */
	/* Disks that are saved with it. */
	unsigned int disks;
	struct snapshot_disk {
		unsigned int number;
		int fd;
		bool named;  /* as the file itself */
		bool linked; /* as linked[] */
	} disk[SAVED_DISKS_MAX];
	size_t held; /* bytes of @data that are not written yet */
	uint8_t data[SNAPSHOT_FILE_BUFFER];
};

/*
 * Makes the folder, if it is for a snapshot, locks it, and begins the file. Before: folder, name, and -1 in dir and fd.
 * Returns 0, or -errno after an error message. Call snapshot_file_end() in both cases.
 */
int snapshot_file_begin(struct snapshot_file *file);
/*
 * Has the folder keep all of @bases, too, which came from the folder @from, in place of what has their names. Returns 0, or
 * -errno after an error message.
 */
int snapshot_file_link(struct snapshot_file *file, const struct snapshot_chain *bases,
		       const char *from);

/*
 * Begins a file for the guest's disk @number, which gets its name when the snapshot does. Returns its descriptor, which the caller
 * fills, or -errno.
 */
int snapshot_file_add_disk(struct snapshot_file *file, unsigned int number);

/* Write @held bytes of @data: the whole pages of them, of which those of zeros become holes; all. Return 0 or -errno. */
int snapshot_file_write(struct snapshot_file *file);
int snapshot_file_write_rest(struct snapshot_file *file);

/* As for a snapshot_writer: adds @len bytes, of which some may stay in @data. Returns 0 or -errno. */
int snapshot_file_put(void *file, const void *data, size_t len);

/*
 * Begins the file again, empty, in place of what was written. Returns the descriptor of that, which the caller closes, or -errno after an
 * error message.
 */
int snapshot_file_again(struct snapshot_file *file);

/*
 * Gives the file its name, and the disks theirs, and removes the bases and disks that it does not need. Returns 0, or -errno after an error message: also if
 * it has its name, and may lose that when the host fails.
 */
int snapshot_file_publish(struct snapshot_file *file);
/* Unless it is @done, nothing is left of it. */
void snapshot_file_end(struct snapshot_file *file, bool done);

#endif
