/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest of `ebb pool --sandbox`: it has started up to its agent, which waits for a command. A small process has started
 * it, and is left alone with it:
 *
 *     ebb pool ──── a socket ──── sandbox-keeper ──── ebb, as of `ebb run` ──── ebb-agent
 *
 * The guest belongs to the process that has the other end of that socket: the pool, and then the `ebb sandbox` that the pool
 * passes it to. When nobody has it any more, however that came, the keeper ends the guest, and removes its files. So nothing that
 * takes a guest needs to know a name, and there is nothing for it to leave behind.
 *
 * In that socket one message waits as soon as the agent does: struct sandbox_member_note, with what a session needs.
 * Nothing else is sent by the keeper; the guest's ebb, which has that end, too, gets its folders' server there (backend_give()).
 *
 * Thread: main; sandbox_member_run() in the process that it makes.
 */
#ifndef EBB_CMD_SANDBOX_MEMBER_H
#define EBB_CMD_SANDBOX_MEMBER_H

#include <stdbool.h>

#include "vmm/agent/session.h"
#include "vmm/cmd/sandbox_run.h"

struct sandbox_member {
	struct sandbox_request *request;
	const char *name; /* --name=NAME */
};

/* For child_start(): @ctx is a struct sandbox_member. */
void sandbox_member_run(const void *ctx, int control);

/* What a session needs of one that is there. */
struct sandbox_taken {
	struct session_sockets sockets;
	int console;
	bool network;
};

/*
 * Receives it at the socket @control, which is not trusted: what is no such socket, or no such message, is refused. Does not wait
 * for it. Returns 0, or -errno: -EPIPE if the guest has ended, -EPROTO for what is none, -ESTALE for one of another
 * version of ebb.
 */
int sandbox_member_receive(int control, struct sandbox_taken *taken);
/* Ends it, and waits until nothing of it is left. */
void sandbox_member_end(int control);

#endif
