/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers the messages of clients, after the pattern of QEMU's qapi/qmp-dispatch.c. It knows
 * nothing of connections; the commands that it runs belong to the server's owner.
 *
 * Thread: the server's. All functions return a new reference, or NULL: out of memory.
 */
#ifndef EBB_CONTROL_DISPATCH_H
#define EBB_CONTROL_DISPATCH_H

#include <jansson.h>
#include <stdbool.h>

#include "vmm/control/server.h"

struct dispatch {
	const struct control_command *commands; /* ends with a name of NULL; not owned */
	void *ctx;
	bool reads_only; /* commands that act are refused */
};

/* Returns the first message that a client gets. */
json_t *dispatch_greeting(void);

/*
 * Answers @request, which may be of any JSON type. @negotiated is the client's: qmp_capabilities
 * sets it.
 */
json_t *dispatch_answer(const struct dispatch *dispatch, bool *negotiated, const json_t *request);

/*
 * Returns the answer to a request with the member "id" @id (NULL: none): the command's @result,
 * whose reference it takes, or its @error. An error without a text, or NULL, means out of memory.
 */
json_t *dispatch_reply(json_t *id, json_t *result, const struct control_error *error);

/* Returns the error for an unreadable request. @text need not be UTF-8. */
json_t *dispatch_error(const char *text);

/* Returns an event with the current time. Takes the reference @data (NULL: none). */
json_t *dispatch_event(const char *event, json_t *data);

#endif
