/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory in which a user's live guests are known by name: $EBB_RUNTIME_DIR, else
 * $XDG_RUNTIME_DIR/ebb, else /run/ebb for root and /tmp/ebb-UID for others; mode 0700 and ours,
 * or refused. Holding a guest's name is holding a lock on NAME.lock there, which the kernel lets go
 * of however ebb ends; the file of a dead guest is taken over by whoever meets it.
 *
 * Thread: main.
 */
#ifndef EBB_CONTROL_RUNTIME_H
#define EBB_CONTROL_RUNTIME_H

#include <limits.h>

struct runtime_name {
	char path[PATH_MAX]; /* of the lock file */
	int fd;		     /* -1 when not held */
};

/* Returns 0, or -errno having said what is wrong (-EBUSY: a live guest has that name). */
int runtime_claim(struct runtime_name *name, const char *guest);
void runtime_release(struct runtime_name *name);

#endif
