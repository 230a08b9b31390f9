/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disks that were saved with a snapshot (ebb snapshot --disks copy): raw images in its folder, named "disk", the disk's number,
 * "-", and the snapshot's last 16 bytes in hexadecimal. So an image is of this snapshot and of no other, whatever a save that
 * was killed has left. Nothing writes to them: who goes on from the snapshot has a private copy of each.
 *
 * Thread: its owner's.
 */
#ifndef EBB_SNAPSHOT_SAVED_DISKS_H
#define EBB_SNAPSHOT_SAVED_DISKS_H

#include <stdbool.h>

#include "vmm/snapshot/pages.h"

#define SAVED_DISKS_MAX 16
/* Bytes of the longest name. */
#define SAVED_DISK_NAME (sizeof("disk15-") + 2 * sizeof(struct snapshot_id))

struct saved_disks {
	struct snapshot_id id;
	unsigned int count;
	int fd[SAVED_DISKS_MAX]; /* by the disk's number; -1: it is not saved */
};

/* Reads the last bytes of the snapshot in the file @snapshot. Returns 0 or -errno. */
int saved_disks_id(int snapshot, struct snapshot_id *id);
void saved_disk_name(unsigned int number, const struct snapshot_id *id, char name[SAVED_DISK_NAME]);
/* Returns whether @name may be one of these, of any snapshot, or one that is not finished. */
bool saved_disk_is_name(const char *name);
/* Of a disk that is being saved, where files cannot be without a name. */
void saved_disk_unfinished(unsigned int number, char name[SAVED_DISK_NAME]);

/*
 * Opens, to read, those in the folder @folder that are of the snapshot in the file @snapshot; none of one that is no snapshot. Returns 0, or -errno, as
 * snapshot_open_beside(). Call saved_disks_close() in both cases.
 */
int saved_disks_open(struct saved_disks *disks, int folder, int snapshot);
void saved_disks_close(struct saved_disks *disks);

/* Returns how many disks the snapshot in @folder has; none if it cannot be opened. */
unsigned int saved_disks_count(const char *folder);

#endif
