/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other side of the control socket, for ebb's own subcommands: one connection, one command at
 * a time, events skipped or waited for. The guest's ebb may be stopped, stuck or somebody else's
 * program: everything has a limit of time (5 seconds to connect, and for an answer) and of size
 * (4 MiB a message; 64 events that nobody has asked for, beyond which the oldest are forgotten).
 *
 * Thread: one.
 */
#ifndef EBB_CONTROL_CLIENT_H
#define EBB_CONTROL_CLIENT_H

#include <jansson.h>
#include <stdbool.h>

struct control_client;

/*
 * Connects to the live guest called @name and negotiates. Returns 0, or -errno having said what is
 * wrong and what to do, unless @quiet: -ENOENT for no such guest (its left-over socket is cleared).
 */
int control_client_open(struct control_client **client, const char *name, bool quiet);
void control_client_close(struct control_client *client); /* NULL is allowed */

/*
 * Runs a command; @arguments (NULL: none) become the client's. *@reply is what "return" held, a new
 * reference. Returns 0; -EREMOTEIO when the guest's ebb refused, *@reply then being the error's
 * description, a string; or -errno (-ETIMEDOUT, -EPIPE: it ended, -EPROTO) with *@reply NULL. Says
 * nothing itself. After -ETIMEDOUT the command may still be carried out.
 */
int control_client_run(struct control_client *client, const char *command, json_t *arguments,
		       json_t **reply);

/*
 * The same in two steps, so that several guests can be at it at once, and for commands that may take longer:
 * what is not answered within @milliseconds of control_client_finish() is -ETIMEDOUT. Of a client
 * nothing else is asked between the two.
 */
int control_client_start(struct control_client *client, const char *command, json_t *arguments);
int control_client_finish(struct control_client *client, int milliseconds, json_t **reply);

/* The class of the last command's error, as the guest's ebb says; "" where it did not refuse. */
const char *control_client_error_class(const struct control_client *client);

/*
 * Waits up to @milliseconds for the event @name, also one that came during a command; NULL: any.
 * *@data is its "data", a new reference, or NULL. Returns 0, -ETIMEDOUT, or -EPIPE when the guest's
 * ebb ended.
 */
int control_client_event(struct control_client *client, const char *name, int milliseconds,
			 json_t **data);

#endif
