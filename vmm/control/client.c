// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/client.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/control/codec.h"
#include "vmm/control/read_only.h"
#include "vmm/control/runtime.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/pass_fd.h"
#include "vmm/lib/wake.h"

#define OPEN_MS	    5000
#define RETRY_MS    10 /* after a guest's backlog was full */
#define MESSAGE_MAX ((size_t)4 << 20)
#define READ_MAX    16384 /* the figures of a guest fit in */
/* Messages during one step that do not answer it: events, answers to commands that timed out. */
#define STRAY_MAX 100000

enum phase {
	CONNECTING,
	GREETING,
	NEGOTIATING,
	READY,
	ASKED,
	ENDED, /* @err holds the reason */
};

struct control_client {
	struct loop *loop;
	struct loop_source source; /* the connection; its fd is -1 before and after */
	struct loop_source timer;
	struct control_client_owner owner;
	enum phase phase;
	int err;
	char name[VM_NAME_MAX + 1];
	char *path; /* of a socket that only reads, or NULL; owned */
	struct codec codec;
	uint64_t deadline; /* ns: of the step in progress */
	control_done *done;
	void *ctx;
	char *output; /* not sent yet: @pending bytes from @start */
	size_t start;
	size_t pending;
	int pass;      /* to be sent with the first of them, or -1 */
	json_int_t id; /* of the last command */
	unsigned int strays;
	char error_class[32];
};

/* --- output -------------------------------------------------------------------------------- */

static void drop_output(struct control_client *client)
{
	free(client->output);
	client->output = NULL;
	client->start = client->pending = 0;
}

/* If sending fails, the peer may have sent an error before: reading finds it, and then the end. */
static void flush(struct control_client *client)
{
	ssize_t sent = 0;
	while (client->pending && sent >= 0) {
		sent = pass_fd_send_now(client->source.fd, client->output + client->start,
					client->pending, client->pass);
		if (sent < 0 && errno == EINTR) {
			sent = 0;
			continue;
		}
		if (sent < 0 && errno == EAGAIN)
			break;
		if (sent < 0)
			client->pending = 0;
		else
			client->start += sent, client->pending -= sent, client->pass = -1;
	}
	/* If the loop cannot wait for that, the deadline ends the step. */
	loop_wait_for(client->loop, &client->source, client->pending > 0);
	if (!client->pending)
		drop_output(client);
}

/* Returns 0 or -ENOMEM. */
static int send_command(struct control_client *client, const char *command, json_t *arguments)
{
	size_t len;
	json_t *message = json_pack("{s:s, s:I, s:o*}", "execute", command, "id", ++client->id,
				    "arguments", arguments);
	char *line = codec_line(message, &len);
	json_decref(message);
	client->error_class[0] = '\0';
	client->strays = 0;
	if (!line)
		return -ENOMEM;
	client->output = line;
	client->pending = len;
	flush(client);
	return 0;
}

/* --- steps --------------------------------------------------------------------------------- */

static void hang_up(struct control_client *client)
{
	if (client->source.fd >= 0) {
		loop_remove(client->loop, &client->source);
		close(client->source.fd);
	}
	client->source.fd = -1;
	drop_output(client);
}

/* The callback may close the client: the caller must not use it afterwards. */
static void finish(struct control_client *client, enum phase next, int err, json_t *reply)
{
	control_done *done = client->done;
	void *ctx = client->ctx;
	client->phase = next;
	client->done = NULL;
	wake_timer_at(client->timer.fd, 0);
	done(ctx, err, reply);
}

/* Closes the connection after an error. As after finish(), the client must not be used. */
static void end(struct control_client *client, int err, json_t *reply)
{
	hang_up(client);
	client->err = err;
	if (client->done) {
		finish(client, ENDED, err, reply);
		return;
	}
	client->phase = ENDED;
	if (client->owner.ended)
		client->owner.ended(client->owner.ctx, err);
}

/* --- input --------------------------------------------------------------------------------- */

/* Whether @message answers the last command; an error without id answers an unreadable one. */
static bool is_answer(const struct control_client *client, const json_t *message)
{
	const json_t *id = json_object_get(message, "id");
	if (client->phase != NEGOTIATING && client->phase != ASKED)
		return false;
	if (json_object_get(message, "return"))
		return json_integer_value(id) == client->id;
	return json_object_get(message, "error") && (!id || json_integer_value(id) == client->id);
}

/* Returns the error and *@reply for a control_done, from an answer or an error as greeting. */
static int read_answer(struct control_client *client, const json_t *message, json_t **reply)
{
	const json_t *error = json_object_get(message, "error");
	const char *class = json_string_value(json_object_get(error, "class"));
	snprintf(client->error_class, sizeof(client->error_class), "%s", class ? class : "");
	*reply = json_object_get(message, "return");
	if (*reply)
		return 0;
	*reply = json_object_get(error, "desc");
	if (json_is_string(*reply))
		return -EREMOTEIO;
	*reply = NULL;
	return -EPROTO;
}

static void take_greeting(struct control_client *client, const json_t *message)
{
	json_t *reply = NULL;
	int err = 0;
	if (!json_object_get(message, "QMP"))
		err = json_object_get(message, "error") ? read_answer(client, message, &reply)
							: -EPROTO;
	client->phase = NEGOTIATING;
	if (!err)
		err = send_command(client, "qmp_capabilities", NULL);
	if (err)
		end(client, err, reply);
}

static void take_answer(struct control_client *client, const json_t *message)
{
	json_t *reply;
	int err = read_answer(client, message, &reply);
	if (client->phase == NEGOTIATING && !err)
		finish(client, READY, 0, NULL);
	else if (client->phase == NEGOTIATING || (err && err != -EREMOTEIO))
		end(client, err, reply);
	else
		finish(client, READY, err, reply);
}

static void take_message(struct control_client *client, const json_t *message)
{
	const char *event = json_string_value(json_object_get(message, "event"));
	if (!json_is_object(message))
		end(client, -EPROTO, NULL);
	else if (client->phase == GREETING)
		take_greeting(client, message);
	else if (is_answer(client, message))
		take_answer(client, message);
	else if (client->done && ++client->strays > STRAY_MAX)
		end(client, -EPROTO, NULL);
	else if (event && client->owner.event)
		client->owner.event(client->owner.ctx, event, json_object_get(message, "data"));
	/* Otherwise it is the late answer to a command that timed out. */
}

/* If a guest's ebb ends with input unread, the kernel resets the connection. */
static int end_error(ssize_t len)
{
	return len == 0 || errno == ECONNRESET ? -EPIPE : -errno;
}

/* Reads at most one message: the rest stays in the socket, and the loop returns to it. */
static void read_message(struct control_client *client)
{
	char bytes[READ_MAX];
	size_t used;
	json_t *message;
	ssize_t len = recv(client->source.fd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);
	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (len <= 0) {
		end(client, end_error(len), NULL);
		return;
	}
	enum codec_result result = codec_feed(&client->codec, bytes, len, &used, &message);
	/* These bytes were peeked at, so one call takes all of them. */
	if (used && recv(client->source.fd, bytes, used, MSG_DONTWAIT) != (ssize_t)used)
		end(client, -EIO, NULL);
	else if (result == CODEC_MESSAGE)
		take_message(client, message);
	else if (result != CODEC_MORE)
		end(client, -EPROTO, NULL);
	json_decref(message);
}

static void on_connection(void *ctx)
{
	struct control_client *client = ctx;
	if (client->pending)
		flush(client);
	else
		read_message(client);
}

/* --- time ---------------------------------------------------------------------------------- */

static void set_deadline(struct control_client *client, int milliseconds)
{
	client->deadline = clock_ns() + (milliseconds > 0 ? milliseconds : 0) * NS_PER_MS;
	wake_timer_at(client->timer.fd, client->deadline);
}

static void try_to_connect(struct control_client *client)
{
	int fd = client->path ? read_only_connect(client->path) : runtime_connect(client->name);
	uint64_t again = clock_ns() + RETRY_MS * NS_PER_MS;
	if (fd == -EAGAIN && again < client->deadline) {
		wake_timer_at(client->timer.fd, again);
		return;
	}
	if (fd < 0) {
		end(client, fd == -EAGAIN ? -ETIMEDOUT : fd, NULL);
		return;
	}
	client->source.fd = fd;
	client->phase = GREETING;
	wake_timer_at(client->timer.fd, client->deadline);
	int err = loop_add(client->loop, &client->source);
	if (err)
		end(client, err, NULL);
}

static void on_timer(void *ctx)
{
	struct control_client *client = ctx;
	wake_take(client->timer.fd);
	if (client->phase == CONNECTING)
		try_to_connect(client);
	else if (client->phase == ASKED && !client->pending)
		finish(client, READY, -ETIMEDOUT, NULL);
	else if (client->done)
		/* A command that was sent in part would corrupt the next one. */
		end(client, -ETIMEDOUT, NULL);
}

/* --- for the owner ------------------------------------------------------------------------- */

int control_client_open(struct control_client **out, struct loop *loop, const char *name,
			const struct control_client_owner *owner, control_done *done, void *ctx)
{
	int err = -ENOMEM;
	struct control_client *client = calloc(1, sizeof(*client));
	*out = NULL;
	if (!client)
		return err;
	client->loop = loop;
	client->owner = *owner;
	client->done = done;
	client->ctx = ctx;
	client->source = (struct loop_source){-1, on_connection, client};
	client->pass = -1;
	codec_init(&client->codec, MESSAGE_MAX);
	/* A name that is too long would be another valid name when cut off. */
	snprintf(client->name, sizeof(client->name), "%s", name);
	if (strlen(name) > VM_NAME_MAX)
		client->name[0] = '\0';
	client->timer = (struct loop_source){wake_timer_open(), on_timer, client};
	err = client->timer.fd < 0 ? client->timer.fd : loop_add(loop, &client->timer);
	if (err) {
		control_client_close(client);
		return err;
	}
	client->deadline = clock_ns() + OPEN_MS * NS_PER_MS;
	/* Connect at once, but from the loop. */
	wake_timer_at(client->timer.fd, 1);
	*out = client;
	return 0;
}

int control_client_open_path(struct control_client **out, struct loop *loop, const char *path,
			     const struct control_client_owner *owner, control_done *done,
			     void *ctx)
{
	int err = control_client_open(out, loop, "", owner, done, ctx);
	if (err)
		return err;
	(*out)->path = strdup(path);
	if ((*out)->path)
		return 0;
	control_client_close(*out);
	*out = NULL;
	return -ENOMEM;
}

bool control_client_is_gone(int err)
{
	return err == -EPIPE || err == -ENOENT || err == -EINVAL;
}

void control_client_close(struct control_client *client)
{
	if (!client)
		return;
	hang_up(client);
	if (client->timer.fd >= 0) {
		loop_remove(client->loop, &client->timer);
		close(client->timer.fd);
	}
	codec_release(&client->codec);
	free(client->path);
	free(client);
}

int control_client_start(struct control_client *client, const char *command, json_t *arguments,
			 int milliseconds, control_done *done, void *ctx)
{
	int err = client->phase == ENDED ? client->err : client->phase == READY ? 0 : -EBUSY;
	if (err)
		json_decref(arguments);
	else
		err = send_command(client, command, arguments);
	if (err)
		return err;
	client->phase = ASKED;
	client->done = done;
	client->ctx = ctx;
	set_deadline(client, milliseconds);
	return 0;
}

void control_client_pass(struct control_client *client, int fd)
{
	client->pass = fd;
}

const char *control_client_error_class(const struct control_client *client)
{
	return client->error_class;
}
