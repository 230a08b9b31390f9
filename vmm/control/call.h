/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps of clients (client.h) that a thread waits for. It starts any number of them, and while it
 * waits for one, the loop serves all. Together they take as long as the slowest.
 *
 * Owner: the caller, which keeps a call at a fixed address until it is closed.
 * Thread: one, which runs the loop here and nowhere else.
 */
#ifndef EBB_CONTROL_CALL_H
#define EBB_CONTROL_CALL_H

#include <stdbool.h>

#include "vmm/control/client.h"

struct control_call {
	struct control_client *client; /* NULL before control_call_open() and if that failed */
	bool pending;
	bool ended;    /* the guest's ebb ended the connection, or it broke */
	int err;       /* of the finished step, as for a control_done */
	json_t *reply; /* the call's reference, until the next step */
};

/*
 * Starts to open a client for the guest @name. control_call_wait() returns any error, also of the
 * start.
 */
void control_call_open(struct control_call *call, struct loop *loop, const char *name);
/* The same for the socket @path, by control_client_open_path(). */
void control_call_open_path(struct control_call *call, struct loop *loop, const char *path);

/* Starts a command at an open client, likewise. Takes the reference @arguments. */
void control_call_start(struct control_call *call, const char *command, json_t *arguments,
			int milliseconds);

/* Serves the loop until the step is done. Returns call->err. */
int control_call_wait(struct control_call *call, struct loop *loop);
/* Likewise until clock_ms() is @deadline: then it returns -ETIMEDOUT, and the step goes on. */
int control_call_wait_until(struct control_call *call, struct loop *loop, int64_t deadline);

/*
 * Serves the loop until the guest's ebb ended, or clock_ms() is @deadline. Returns whether it
 * ended.
 */
bool control_call_wait_end(struct control_call *call, struct loop *loop, int64_t deadline);

void control_call_close(struct control_call *call);

#endif
