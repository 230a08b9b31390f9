/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a message of a client is answered with, after the pattern of QEMU's qapi/qmp-dispatch.c. It
 * knows no connection; the commands that it runs are the server's owner's.
 *
 * Thread: the server's. What is returned is a new reference; NULL: no memory.
 */
#ifndef EBB_CONTROL_DISPATCH_H
#define EBB_CONTROL_DISPATCH_H

#include <jansson.h>
#include <stdbool.h>

#include "vmm/control/server.h"

struct dispatch {
	const struct control_command *commands; /* ended by a name of NULL; their owner's */
	void *ctx;
};

/* The first line that a client gets. */
json_t *dispatch_greeting(void);

/* @negotiated is the client's: qmp_capabilities sets it. @request is of any JSON type. */
json_t *dispatch_answer(const struct dispatch *dispatch, bool *negotiated, const json_t *request);

/*
 * The answer to a request with the member "id" @id (NULL: none): a command's @result, which becomes the
 * reply's, or its @error. An error without a text, or NULL, means that there was no memory.
 */
json_t *dispatch_reply(json_t *id, json_t *result, const struct control_error *error);

/* What is told without a request that could be read. @text need not be UTF-8. */
json_t *dispatch_error(const char *text);

/* @data becomes the event's; NULL: none. Its time is now. */
json_t *dispatch_event(const char *event, json_t *data);

#endif
