/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket of `--control-read-only`: a second door of the control server, at a path of the user's choice, for programs that
 * may look at the guest and not touch it.
 *
 * Once a guest runs, ebb has given up the names of files (vmm/sandbox): so a small process removes the path when ebb ends,
 * for whatever reason.
 *
 * Thread: main; listen before any other thread runs.
 */
#ifndef EBB_CONTROL_READ_ONLY_H
#define EBB_CONTROL_READ_ONLY_H

#include "vmm/control/server.h"
#include "vmm/lib/child.h"

struct read_only {
	int file; /* the socket's, whose mode says who may connect; -1: none */
	struct child remover;
};

#define READ_ONLY_NONE ((struct read_only){.file = -1, .remover = {.control = -1}})

/*
 * Makes the socket @path for this user, and for the members of @group, a name in /etc/group or a number, unless that is "". Sets *@door.
 * Returns 0, or -errno after an error message, with nothing left behind.
 */
int read_only_listen(struct read_only *only, const char *path, const char *group,
		     struct control_door *door);
/* Has the path removed. Call after the server is released. Accepts READ_ONLY_NONE. */
void read_only_release(struct read_only *only);

/* Connects to such a socket without waiting. Returns a non-blocking socket, the caller's, or -errno. */
int read_only_connect(const char *path);

#endif
