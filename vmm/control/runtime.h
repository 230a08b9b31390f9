/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory in which a user's live guests are known by name: $EBB_RUNTIME_DIR, else
 * $XDG_RUNTIME_DIR/ebb where that variable names a directory of this user with mode 0700, else /run/ebb
 * for root and /tmp/ebb-UID for others; mode 0700 and ours, or refused. A guest holds the directory itself, not its
 * path: one that was removed (as at a logout) or replaced hides its guests, and they touch nothing in what replaced it. Holding a guest's name is holding a lock on NAME.lock there, which the kernel lets go
 * of however ebb ends; beside it is the socket NAME.sock. What a dead guest left is taken over or
 * cleared by whoever meets it, and only under that lock.
 *
 * Thread: main. runtime_connect() does not wait; the others wait up to 2 seconds for a process that
 * holds the directory's lock.
 */
#ifndef EBB_CONTROL_RUNTIME_H
#define EBB_CONTROL_RUNTIME_H

#include <limits.h>
#include <sys/types.h>

#include "vmm/lib/guest_name.h"

struct runtime_name {
	char path[PATH_MAX]; /* of the lock file */
	char guest[VM_NAME_MAX + 1];
	int directory; /* -1, as is fd, when the name is not held */
	int fd;
};

/* Returns 0, or -errno having said what is wrong (-EBUSY: a live guest has that name). */
int runtime_claim(struct runtime_name *name, const char *guest);

/*
 * Makes the socket of a name that is held: a listening one, non-blocking, which is the caller's.
 * Nobody but its user can ever connect. Returns it, or -errno having said what is wrong.
 */
int runtime_listen(struct runtime_name *name);

/* Removes the socket and gives the name back. What is not held is left alone. */
void runtime_release(struct runtime_name *name);

/*
 * Connects to the guest called @guest, without waiting. Returns a non-blocking socket, the caller's, or
 * -errno. These say nothing: -EAGAIN, try again in a moment: it accepts nobody just now, or somebody
 * else looks after the directory; -ENOENT, no such guest lives (what it left is cleared);
 * -ECONNREFUSED, it lives but does not listen, yet or any more; -EINVAL, no guest can have that name.
 * Any other error has been said.
 */
int runtime_connect(const char *guest);

struct runtime_guest {
	char name[VM_NAME_MAX + 1];
	pid_t pid; /* 0: it has not said so yet */
};

/*
 * The live guests, sorted by name, to be freed; what dead ones left is cleared. No directory is no
 * guest, and none is made. Returns how many, or -errno having said what is wrong.
 */
ssize_t runtime_list(struct runtime_guest **guests);

#endif
