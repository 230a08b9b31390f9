// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/call.h"

#include <errno.h>
#include <limits.h>

#include "vmm/lib/clock.h"

static void on_done(void *ctx, int err, json_t *reply)
{
	struct control_call *call = ctx;
	call->pending = false;
	call->ended = err == -EPIPE;
	call->err = err;
	call->reply = json_incref(reply);
}

static void on_ended(void *ctx, int err)
{
	struct control_call *call = ctx;
	call->ended = err == -EPIPE;
}

static void begin(struct control_call *call)
{
	json_decref(call->reply);
	call->reply = NULL;
	call->pending = true;
}

static void begun(struct control_call *call, int err)
{
	if (err)
		on_done(call, err, NULL);
}

static struct control_client_owner open_call(struct control_call *call)
{
	*call = (struct control_call){.client = NULL};
	begin(call);
	return (struct control_client_owner){.ended = on_ended, .ctx = call};
}

void control_call_open(struct control_call *call, struct loop *loop, const char *name)
{
	const struct control_client_owner owner = open_call(call);
	begun(call, control_client_open(&call->client, loop, name, &owner, on_done, call));
}

void control_call_open_path(struct control_call *call, struct loop *loop, const char *path)
{
	const struct control_client_owner owner = open_call(call);
	begun(call, control_client_open_path(&call->client, loop, path, &owner, on_done, call));
}

void control_call_start(struct control_call *call, const char *command, json_t *arguments,
			int milliseconds)
{
	begin(call);
	begun(call,
	      control_client_start(call->client, command, arguments, milliseconds, on_done, call));
}

/* Serves the loop while *@flag is @value. Returns 0, or -errno: -ETIMEDOUT if clock_ms() is @deadline. */
static int serve_while(struct loop *loop, const bool *flag, bool value, int64_t deadline)
{
	while (*flag == value) {
		int64_t left = deadline - clock_ms();
		if (left <= 0)
			return -ETIMEDOUT;
		int err = loop_turn(loop, left < INT_MAX ? (int)left : INT_MAX);
		if (err < 0)
			return err;
	}
	return 0;
}

int control_call_wait(struct control_call *call, struct loop *loop)
{
	return control_call_wait_until(call, loop, INT64_MAX);
}

int control_call_wait_until(struct control_call *call, struct loop *loop, int64_t deadline)
{
	int err = serve_while(loop, &call->pending, true, deadline);
	return err ? err : call->err;
}

bool control_call_wait_end(struct control_call *call, struct loop *loop, int64_t deadline)
{
	serve_while(loop, &call->ended, false, deadline);
	return call->ended;
}

void control_call_close(struct control_call *call)
{
	control_client_close(call->client);
	json_decref(call->reply);
	*call = (struct control_call){.client = NULL};
}
