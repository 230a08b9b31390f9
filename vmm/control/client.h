/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of one guest's control socket, as a state machine on a loop: connect, greeting,
 * negotiation, then one command at a time, and events. Nothing here blocks, so that one thread can
 * have as many clients as there are guests, and a guest that is stopped, stuck or not ebb at all
 * does not delay others. Everything has a limit: 5 seconds to open, a time that the caller sets for
 * each command, 4 MiB for a message, one message for each turn of the loop.
 *
 * Owner: the code that opened it, which must close it before it releases the loop.
 * Thread: the one that runs the loop, for everything here. Callbacks run on it too, from the loop
 * only, and may start commands and close this client or any other.
 */
#ifndef EBB_CONTROL_CLIENT_H
#define EBB_CONTROL_CLIENT_H

#include <jansson.h>
#include <stdbool.h>

#include "vmm/lib/loop.h"

#define CONTROL_ANSWER_MS 5000 /* for commands that a guest's ebb answers at once */

struct control_client;

/*
 * Called when a step, opening or a command, is done. @err is 0, with the value of "return" in
 * @reply (NULL after opening); -EREMOTEIO if the guest's ebb refused, with its description of the
 * error, a string; or -errno with NULL: -ETIMEDOUT, -EPIPE (it ended), -EPROTO, -ENOMEM. The client
 * owns @reply.
 */
typedef void control_done(void *ctx, int err, json_t *reply);

/* Other callbacks of an open client. */
struct control_client_owner {
	/* Called for an event; @data may be NULL, the client owns it. NULL: events are dropped. */
	void (*event)(void *ctx, const char *name, const json_t *data);
	/*
	 * Called with the reason in @err if the connection ends between commands; during a command
	 * its control_done is called instead. May be NULL.
	 */
	void (*ended)(void *ctx, int err);
	void *ctx;
};

/*
 * Starts to connect to the live guest called @name and to negotiate; @done is called with @ctx at
 * the end, never from within. Besides the errors above it gets -ENOENT (no such guest; a dead one's
 * files are removed), -ECONNREFUSED (it is starting or ending), -EINVAL (no guest can have that
 * name) and errors of the runtime directory, for which runtime_connect() has printed a message.
 * After any error the client can only be closed. @owner is copied. Returns 0, or -errno with
 * *@client NULL.
 */
int control_client_open(struct control_client **client, struct loop *loop, const char *name,
			const struct control_client_owner *owner, control_done *done, void *ctx);

/*
 * The same for the socket @path of `ebb run --control-read-only`; opening gets the errors of connect(2)
 * without a message.
 */
int control_client_open_path(struct control_client **client, struct loop *loop, const char *path,
			     const struct control_client_owner *owner, control_done *done,
			     void *ctx);

/*
 * Returns whether @err, of any step, says that the guest has ended or that there is none of its
 * name. After any other error it may be worth opening another client later.
 */
bool control_client_is_gone(int err);

/* Cancels the step in progress: no callback follows. NULL is allowed. */
void control_client_close(struct control_client *client);

/*
 * Sends a command. Takes the reference @arguments (NULL: none). @done is called with @ctx within
 * @milliseconds, never from within. Returns 0; or, without calling @done, -EBUSY if another step is
 * in progress, or the error that broke the connection.
 *
 * After -ETIMEDOUT the client can be used again, unless the command was sent only in part; the late
 * answer is dropped. The command may still be carried out.
 */
int control_client_start(struct control_client *client, const char *command, json_t *arguments,
			 int milliseconds, control_done *done, void *ctx);

/*
 * Sends the descriptor @fd, which stays the caller's, with the next command (SCM_RIGHTS). Keep it open until that
 * command is done.
 */
void control_client_pass(struct control_client *client, int fd);

/* Returns the class of the last command's error, from the guest's ebb; "" if it did not refuse. */
const char *control_client_error_class(const struct control_client *client);

#endif
