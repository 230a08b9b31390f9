// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/client.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/control/codec.h"
#include "vmm/control/runtime.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/guest_name.h"
#include "vmm/lib/log.h"

#define ANSWER_MILLISECONDS 5000
#define MESSAGE_MAX	    ((size_t)4 << 20)
/* Beyond these the oldest is forgotten: who waits for an event wants the latest news. */
#define EVENTS_MAX 64
/* Messages that are no answer, while one is waited for. */
#define STRAY_MAX 100000

struct control_client {
	int fd;
	int err; /* why the connection is of no use any more, or 0 */
	struct codec codec;
	char input[4096]; /* read, and not yet taken: from @start to @end */
	size_t start;
	size_t end;
	json_t *events;	      /* an array, oldest first */
	json_int_t id;	      /* of the last command */
	char error_class[32]; /* of its error, "" without one */
};

/* Returns 0 when @events have come, -ETIMEDOUT at @deadline, or -errno. */
static int wait_for(const struct control_client *client, short events, int64_t deadline)
{
	for (;;) {
		struct pollfd wanted = {.fd = client->fd, .events = events};
		int64_t left = deadline - clock_ms();
		int ready = poll(&wanted, 1, left > 0 ? (int)left : 0);
		if (ready > 0)
			return 0;
		if (ready < 0 && errno != EINTR)
			return -errno;
		if (left <= 0)
			return -ETIMEDOUT;
	}
}

/* One who ends with something unread resets the connection. */
static int broken(int err)
{
	return err == -ECONNRESET ? -EPIPE : err;
}

static int send_all(struct control_client *client, const char *bytes, size_t len, int64_t deadline)
{
	while (len > 0) {
		ssize_t sent = send(client->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0 && errno == EAGAIN) {
			int err = wait_for(client, POLLOUT, deadline);
			if (err)
				return err;
			continue;
		}
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return broken(-errno);
		bytes += sent;
		len -= sent;
	}
	return 0;
}

static int fill(struct control_client *client, int64_t deadline)
{
	for (;;) {
		ssize_t len = recv(client->fd, client->input, sizeof(client->input), MSG_DONTWAIT);
		if (len > 0) {
			client->start = 0;
			client->end = len;
			return 0;
		}
		if (len == 0)
			return -EPIPE;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return broken(-errno);
		int err = wait_for(client, POLLIN, deadline);
		if (err)
			return err;
	}
}

/* *@message: the next one, an object, a new reference. */
static int receive(struct control_client *client, int64_t deadline, json_t **message)
{
	for (;;) {
		size_t used;
		enum codec_result result = codec_feed(&client->codec, client->input + client->start,
						      client->end - client->start, &used, message);
		client->start += used;
		if (result == CODEC_MESSAGE && json_is_object(*message))
			return 0;
		if (result != CODEC_MORE) {
			json_decref(*message);
			return -EPROTO;
		}
		int err = fill(client, deadline);
		if (err)
			return err;
		/* A trickle that never completes a message must not keep us either. */
		if (clock_ms() > deadline)
			return -ETIMEDOUT;
	}
}

static void keep_event(struct control_client *client, json_t *message)
{
	json_array_append(client->events, message);
	if (json_array_size(client->events) > EVENTS_MAX)
		json_array_remove(client->events, 0);
}

/* Whether @message answers the last command: an error may be of one that could not be read. */
static bool is_answer(const struct control_client *client, const json_t *message)
{
	const json_t *id = json_object_get(message, "id");
	if (json_object_get(message, "return"))
		return json_integer_value(id) == client->id;
	return json_object_get(message, "error") && (!id || json_integer_value(id) == client->id);
}

static void keep_class(struct control_client *client, const json_t *error)
{
	const char *class = json_string_value(json_object_get(error, "class"));
	snprintf(client->error_class, sizeof(client->error_class), "%s", class ? class : "");
}

static int read_answer(struct control_client *client, const json_t *message, json_t **reply)
{
	keep_class(client, json_object_get(message, "error"));
	*reply = json_incref(json_object_get(message, "return"));
	if (*reply)
		return 0;
	*reply = json_incref(json_object_get(json_object_get(message, "error"), "desc"));
	if (json_is_string(*reply))
		return -EREMOTEIO;
	json_decref(*reply);
	*reply = NULL;
	return -EPROTO;
}

static int await_answer(struct control_client *client, int64_t deadline, json_t **reply)
{
	for (int strays = 0; strays < STRAY_MAX; strays++) {
		json_t *message;
		int err = receive(client, deadline, &message);
		if (err)
			return err;
		bool answer = is_answer(client, message);
		if (answer)
			err = read_answer(client, message, reply);
		else if (json_object_get(message, "event"))
			keep_event(client, message);
		/* Else it is the answer to a command that was given up. */
		json_decref(message);
		if (answer)
			return err;
	}
	return -EPROTO;
}

/* What is no good once is no good later; a guest that was too slow may still come. */
static int remember(struct control_client *client, int err)
{
	if (err && err != -EREMOTEIO && err != -ETIMEDOUT)
		client->err = err;
	return err;
}

static int start(struct control_client *client, const char *command, json_t *arguments,
		 int64_t deadline)
{
	size_t len;
	client->error_class[0] = '\0';
	json_t *message = json_pack("{s:s, s:I, s:o*}", "execute", command, "id", ++client->id,
				    "arguments", arguments);
	char *line = client->err ? NULL : codec_line(message, &len);
	json_decref(message);
	if (client->err)
		return client->err;
	if (!line)
		return -ENOMEM;
	int err = send_all(client, line, len, deadline);
	free(line);
	/* Half a command is in the way of the next one. */
	if (err == -ETIMEDOUT)
		client->err = err;
	/* One that ended may have said something before: that is to be read. */
	return err == -EPIPE ? 0 : remember(client, err);
}

int control_client_start(struct control_client *client, const char *command, json_t *arguments)
{
	return start(client, command, arguments, clock_ms() + ANSWER_MILLISECONDS);
}

int control_client_finish(struct control_client *client, int milliseconds, json_t **reply)
{
	*reply = NULL;
	if (client->err)
		return client->err;
	return remember(client, await_answer(client, clock_ms() + milliseconds, reply));
}

int control_client_run(struct control_client *client, const char *command, json_t *arguments,
		       json_t **reply)
{
	int64_t deadline = clock_ms() + ANSWER_MILLISECONDS;
	*reply = NULL;
	int err = start(client, command, arguments, deadline);
	return err ? err : remember(client, await_answer(client, deadline, reply));
}

const char *control_client_error_class(const struct control_client *client)
{
	return client->error_class;
}

static bool is_event(const json_t *message, const char *name)
{
	const char *event = json_string_value(json_object_get(message, "event"));
	return event && (!name || strcmp(event, name) == 0);
}

int control_client_event(struct control_client *client, const char *name, int milliseconds,
			 json_t **data)
{
	int64_t deadline = clock_ms() + milliseconds;
	json_t *message;
	size_t i;
	*data = NULL;
	json_array_foreach(client->events, i, message)
	{
		if (!is_event(message, name))
			continue;
		*data = json_incref(json_object_get(message, "data"));
		json_array_remove(client->events, i);
		return 0;
	}
	while (!client->err) {
		int err = remember(client, receive(client, deadline, &message));
		if (err)
			return err;
		bool wanted = is_event(message, name);
		if (wanted)
			*data = json_incref(json_object_get(message, "data"));
		else if (is_event(message, NULL))
			keep_event(client, message);
		json_decref(message);
		if (wanted)
			return 0;
	}
	return client->err;
}

/* --- begin and end ------------------------------------------------------------------------- */

/* @why: what the guest's ebb said, if anything. */
static void say(const char *name, int err, const char *why)
{
	switch (err) {
	case -ENOENT:
		log_error("no guest called \"%s\" is running; if it is one of another "
			  "EBB_RUNTIME_DIR, name that directory",
			  name);
		break;
	case -EINVAL:
		log_error("no guest can be called \"%s\": it %s", name,
			  vm_name_error(name) ? vm_name_error(name) : "is refused");
		break;
	case -ECONNREFUSED:
		log_error("the guest \"%s\" does not listen: it begins or ends just now; try again",
			  name);
		break;
	case -ETIMEDOUT:
		log_error("the guest \"%s\" does not answer: is its ebb stopped? SIGCONT goes on, "
			  "SIGKILL ends it",
			  name);
		break;
	case -EREMOTEIO:
		log_error("the guest \"%s\" takes no commands: %s", name, why);
		break;
	default:
		log_error("no commands can be given to the guest \"%s\": %s", name, strerror(-err));
	}
}

/* Of runtime_connect()'s errors: what may be no mistake is not said there. */
static bool is_silent(int err)
{
	return err == -ENOENT || err == -ECONNREFUSED || err == -ETIMEDOUT || err == -EINVAL;
}

/* The first line is the greeting, or says why there is none. */
static int greet(struct control_client *client, json_t **reply)
{
	json_t *greeting;
	int err = receive(client, clock_ms() + ANSWER_MILLISECONDS, &greeting);
	if (err)
		return err;
	if (!json_object_get(greeting, "QMP"))
		err = json_object_get(greeting, "error") ? read_answer(client, greeting, reply)
							 : -EPROTO;
	json_decref(greeting);
	return err ? err : control_client_run(client, "qmp_capabilities", NULL, reply);
}

int control_client_open(struct control_client **out, const char *name, bool quiet)
{
	json_t *reply = NULL;
	bool said = false;
	int err = -ENOMEM;
	struct control_client *client = calloc(1, sizeof(*client));
	*out = NULL;
	if (!client)
		goto out;
	codec_init(&client->codec, MESSAGE_MAX);
	client->fd = -1;
	client->events = json_array();
	if (!client->events)
		goto out;
	err = client->fd = runtime_connect(name);
	if (err >= 0)
		err = greet(client, &reply);
	else
		said = !is_silent(err);
out:
	if (err && !quiet && !said)
		say(name, err, json_string_value(reply));
	json_decref(reply);
	if (err)
		control_client_close(client);
	else
		*out = client;
	return err;
}

void control_client_close(struct control_client *client)
{
	if (!client)
		return;
	if (client->fd >= 0)
		close(client->fd);
	codec_release(&client->codec);
	json_decref(client->events);
	free(client);
}
