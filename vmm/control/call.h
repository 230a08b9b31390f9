/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps of clients (client.h) that a thread waits for: any number of them is started, and while one is waited for
 * the loop serves all. Together they take as long as the slowest.
 *
 * Owner: the caller, who keeps a call at a fixed address until it is closed.
 * Thread: one, which runs the loop here and nowhere else.
 */
#ifndef EBB_CONTROL_CALL_H
#define EBB_CONTROL_CALL_H

#include <stdbool.h>

#include "vmm/control/client.h"

struct control_call {
	struct control_client *client; /* NULL before control_call_open() and where that failed */
	bool pending;
	bool ended;    /* the guest's ebb ended the connection, or it broke */
	int err;       /* as a control_done gets them, once the step is done */
	json_t *reply; /* the call's reference, until the next step */
};

/* Starts to open a client for the guest @name. Whether it could be started is known after control_call_wait(). */
void control_call_open(struct control_call *call, struct loop *loop, const char *name);

/* Starts a command at a client that is open, likewise; @arguments become the call's. */
void control_call_start(struct control_call *call, const char *command, json_t *arguments,
			int milliseconds);

/* Serves the loop until the step is done. Returns call->err. */
int control_call_wait(struct control_call *call, struct loop *loop);

/* Serves the loop until the guest's ebb ended, or clock_ms() is @deadline. Returns whether it ended. */
bool control_call_wait_end(struct control_call *call, struct loop *loop, int64_t deadline);

void control_call_close(struct control_call *call);

#endif
