/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of one guest's control socket, as a state machine on a loop: connect, greeting, negotiation,
 * then one command at a time, and events. Nothing here blocks, so that one thread can have as many
 * clients as there are guests, and a guest that is stopped, stuck or somebody else's program delays no
 * other. Everything has a limit: 5 seconds to open, a time of the caller's for each command, 4 MiB for a
 * message, one message for each turn of the loop.
 *
 * Owner: who opened it; it must be closed before its loop is released.
 * Thread: the one that runs the loop, for everything here. Callbacks run on it too, from the loop only,
 * and may start commands and close this client or any other.
 */
#ifndef EBB_CONTROL_CLIENT_H
#define EBB_CONTROL_CLIENT_H

#include <jansson.h>

#include "vmm/lib/loop.h"

#define CONTROL_ANSWER_MS 5000 /* for commands that a guest's ebb answers at once */

struct control_client;

/*
 * A step, opening or a command, is done. @err is 0 with what "return" held in @reply (NULL after
 * opening); -EREMOTEIO with the description of the error, a string, when the guest's ebb refused; or
 * -errno with NULL: -ETIMEDOUT, -EPIPE (it ended), -EPROTO, -ENOMEM. @reply stays the client's.
 */
typedef void control_done(void *ctx, int err, json_t *reply);

/* What an open client tells besides. */
struct control_client_owner {
	/* An event; @data is NULL or stays the client's. NULL: events are dropped. */
	void (*event)(void *ctx, const char *name, const json_t *data);
	/*
	 * The connection ended between commands, @err says how; during one the command's control_done is called
	 * instead. NULL: not told.
	 */
	void (*ended)(void *ctx, int err);
	void *ctx;
};

/*
 * Begins to connect to the live guest called @name and to negotiate; @done is called with @ctx in the
 * end, never from within. Besides those above it gets -ENOENT (no such guest; what a dead one left
 * is cleared), -ECONNREFUSED (it begins or ends just now), -EINVAL (no guest can be called that) and
 * what the runtime directory failed with, which runtime_connect() has said. After any error the client
 * is good for nothing but to be closed. @owner is copied. Returns 0, or -errno with *@client NULL.
 */
int control_client_open(struct control_client **client, struct loop *loop, const char *name,
			const struct control_client_owner *owner, control_done *done, void *ctx);

/* Drops what is under way: no callback follows. NULL is allowed. */
void control_client_close(struct control_client *client);

/*
 * Sends a command; @arguments (NULL: none) become the client's. @done is called with @ctx within
 * @milliseconds, never from within. Returns 0; -EBUSY while another step is under way; or why the
 * connection is of no use any more, and @done is not called.
 *
 * After -ETIMEDOUT the client can be used again, unless half of the command was still to be sent; the late answer is
 * dropped. The command may still be carried out.
 */
int control_client_start(struct control_client *client, const char *command, json_t *arguments,
			 int milliseconds, control_done *done, void *ctx);

/* The class of the last command's error, as the guest's ebb says; "" where it did not refuse. */
const char *control_client_error_class(const struct control_client *client);

#endif
