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
 * In that socket the keeper sends a byte when the agent waits. Whoever takes the guest sends one, too, and is sent struct
 * sandbox_member_note, with all that a session needs. Until then the keeper has that, not a message: the kernel counts
 * descriptors in messages that nobody has received, against the limit of open files (RLIMIT_NOFILE) for all of a user's processes at once.
 *
 * Thread: main; sandbox_member_run() in the process that it makes.
 */
#ifndef EBB_CMD_SANDBOX_MEMBER_H
#define EBB_CMD_SANDBOX_MEMBER_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/agent/session.h"
#include "vmm/cmd/sandbox_run.h"

struct sandbox_member_note {
	char version[32]; /* of ebb */
	uint32_t network;
	char place[64]; /* the empty folder that is for the view of the files */
};

/* Its descriptors: the console, where the folders' server is given, and the sockets at which the agent's streams arrive. */
enum {
	SANDBOX_CONSOLE,
	SANDBOX_SERVER,
	SANDBOX_STREAMS,
	SANDBOX_PARTS = SANDBOX_STREAMS + AGENT_STREAMS
};

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
	int server; /* for backend_give() */
	bool network;
	char place[64];
};

/*
 * Asks for it at the socket @control, which is not trusted: what is no such socket, or no such message, is refused. Returns 0,
 * or -errno: -EPIPE if the guest has ended, -EPROTO for what is none, -ESTALE for one of another version of ebb,
 * -EINTR if a signal waits.
 */
int sandbox_taken_receive(int control, struct sandbox_taken *taken);
/* Closes what of it a session has not. */
void sandbox_taken_close(struct sandbox_taken *taken);
/* Ends it, and waits until nothing of it is left. */
void sandbox_taken_end(int control);

#endif
