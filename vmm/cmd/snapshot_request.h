/* SPDX-License-Identifier: Apache-2.0 */
/* What `ebb snapshot` is asked for, and how far it is; and what it says at the end. Thread: main. */
#ifndef EBB_CMD_SNAPSHOT_REQUEST_H
#define EBB_CMD_SNAPSHOT_REQUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/cmd/guests.h"
#include "vmm/cmd/snapshot_disks.h"
#include "vmm/cmd/snapshot_file.h"

/* What is saved. */
struct what {
	const char *command, *name; /* of the file */
	bool is_guest;		    /* or its working set */
};

struct request {
	struct guest_choice choice;
	const struct what *what;
	const char *folder; /* "-": standard output */
	bool stream;	    /* that */
	bool merge;	    /* what is in @folder, to @out */
	const char *out, *base;
	unsigned int live_ms; /* or 0: it stands still from the beginning */
	bool track;
	bool copies; /* the disks, which come before the snapshot: */
	struct snapshot_disks disks;
	struct snapshot_chain bases; /* in the folder @base, if that is given */
	struct snapshot_file file;
	struct loop *loop;
	struct loop_source in; /* the snapshot comes there */
	int theirs;	       /* the other end, until the guest's ebb has it; or -1 */
	uint64_t bytes;	       /* that came */
	int64_t heard;	       /* when something came last, or we were busy, clock_ms() */
	int error;	       /* of writing it, -errno */
	bool committed; /* all has come, and was passed on but the end, or the disks are copied; the guest's ebb was told */
	bool silent; /* nothing came for too long */
};

/* What was saved: @bytes of the guest's memory, while it stood still for @stopped seconds. */
void snapshot_say_saved(const struct request *request, const char *name, uint64_t bytes,
			double stopped);
/* Where its disks are. @disks: the names of those that it can write to, as its ebb tells them. */
void snapshot_say_disks(const struct request *request, const char *name, const json_t *disks);

#endif
