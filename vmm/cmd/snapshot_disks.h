/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's disks, saved with it: ebb snapshot --disks copy. The guest's ebb sends a descriptor of each that the guest can write
 * to before the snapshot, with a byte, the disk's number: no name is believed that an ebb tells which the guest may have taken
 * over, and it can send only what it can read itself. When all of the snapshot has come, the guest stands still, and its disks are
 * flushed: they are copied then. Thread: main.
 */
#ifndef EBB_CMD_SNAPSHOT_DISKS_H
#define EBB_CMD_SNAPSHOT_DISKS_H

#include <stdbool.h>

#include "vmm/cmd/snapshot_file.h"

struct snapshot_disks {
	unsigned int count;
	struct {
		unsigned int number;
		int fd;
	} disk[SAVED_DISKS_MAX];
	/* Of those that were copied: how many share their blocks; bytes of the others. */
	unsigned int sharing;
	uint64_t bytes;
};

/*
 * Receives one of them from @socket, if it is the next that comes there. Returns 1, and 0 if it is the snapshot's first byte,
 * which *@first is then, or -errno: -EAGAIN, -EPROTO if it is nothing that can be copied.
 */
int snapshot_disks_take(struct snapshot_disks *disks, int socket, uint8_t *first);

/*
 * Copies all of them into new files of @file, and has the guest's ebb, which waits at @socket, know that it is busy. Returns 0, or
 * -errno: -ECANCELED if that has closed it.
 */
int snapshot_disks_copy(struct snapshot_disks *disks, struct snapshot_file *file, int socket);
/* Says where they are. */
void snapshot_disks_say(const struct snapshot_disks *disks, const struct snapshot_file *file,
			const char *guest);
void snapshot_disks_release(struct snapshot_disks *disks);

/*
 * Copies those that were saved with the snapshot in @folder, whose file is @snapshot, to go with the one in @file. Returns 0, or
 * -errno after an error message.
 */
int snapshot_disks_take_over(struct snapshot_file *file, const char *folder, int snapshot);

#endif
