/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A listening socket of the server, and who may come in by it.
 *
 * Owner: struct control_server. Thread: the loop's.
 */
#ifndef EBB_CONTROL_DOOR_H
#define EBB_CONTROL_DOOR_H

#include <stdbool.h>

#include "vmm/control/server.h"
#include "vmm/lib/loop.h"

struct door {
	struct loop *loop;
	struct control_door is;
	struct loop_source listener;
	struct loop_source retry; /* timer: adds the listener to the loop again */
	uid_t uid;
	bool said; /* the warning that clients have to wait was printed */
	/* Takes the descriptor of a client that may come in. */
	void (*enter)(struct door *door, int fd);
	void *ctx; /* of enter() */
};

/* Takes over is->listener. Returns 0 or -errno; call door_release() in both cases. */
int door_init(struct door *door, struct loop *loop, const struct control_door *is,
	      void (*enter)(struct door *door, int fd), void *ctx);
void door_release(struct door *door);

#endif
