// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/server.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/control/codec.h"
#include "vmm/control/dispatch.h"
#include "vmm/control/door.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"
#include "vmm/lib/pass_fd.h"
#include "vmm/lib/wake.h"

#define CLIENTS_MAX 16 /* of a door */
/* Bytes of output that a client may leave unread; a longer answer ends its connection, too. */
#define OUTPUT_MAX ((size_t)1 << 20)
/* Bytes that are read from one client before the others have their turn. */
#define READ_MAX 4096

/* The events of a client that the loop waits for. */
enum interest {
	TO_READ,
	TO_WRITE, /* until it has read its output, no input from it is read */
	NOTHING,  /* one of its commands is still being carried out */
};

/* A slot is free when its file descriptor is -1. */
struct client {
	struct control_server *server;
	struct entrance *entrance;
	struct loop_source source;
	struct codec codec;
	char *output; /* not sent yet: @pending bytes from @start */
	size_t start;
	size_t pending;
	size_t size;
	enum interest interest;
	uint64_t deferred;   /* the command that is answered later, or 0 */
	json_t *deferred_id; /* the client's id for that command, or NULL */
	int passed;	     /* the last descriptor sent with this message, or -1 */
	bool negotiated;
	bool deaf;   /* it reads no more; its commands are still carried out */
	bool ending; /* close it when its output is sent */
	bool gone;   /* close it as soon as no function uses it */
};

/* A door, and those who have come in by it: they have no part in what is another's. */
struct entrance {
	struct control_server *server;
	struct door door;
	struct dispatch dispatch;
	struct client clients[CLIENTS_MAX];
};

struct control_server {
	struct loop *loop;
	struct loop_source rate; /* timer: while it runs, rate-limited events are held back */
	bool resting;		 /* @rate runs */
	json_t *held;		 /* the last event held back */
	struct client *serving;	 /* while this is set, no client may be closed */
	uint64_t deferrals;	 /* number of commands deferred so far */
	const struct control_command *commands;
	void *ctx;
	unsigned int entrances;
	struct entrance entrance[CONTROL_DOORS];
};

/* Returns the @i-th client, or NULL behind the last. Its descriptor may be -1. */
static struct client *client_at(struct control_server *server, unsigned int i)
{
	unsigned int door = i / CLIENTS_MAX;
	return door < server->entrances ? &server->entrance[door].clients[i % CLIENTS_MAX] : NULL;
}

/* --- output -------------------------------------------------------------------------------- */

static void flush(struct client *client)
{
	while (client->pending && !client->deaf) {
		ssize_t len = send(client->source.fd, client->output + client->start,
				   client->pending, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0 && errno == EAGAIN)
			return;
		if (len < 0) {
			client->deaf = true;
			break;
		}
		client->start += len;
		client->pending -= len;
	}
	/* All is sent, or the client reads no more. */
	free(client->output);
	client->output = NULL;
	client->start = client->pending = client->size = 0;
	client->gone |= client->ending;
}

static bool make_room(struct client *client, size_t len)
{
	if (client->start) {
		memmove(client->output, client->output + client->start, client->pending);
		client->start = 0;
	}
	size_t size = client->size ? client->size : 256;
	while (size < client->pending + len)
		size *= 2;
	if (size == client->size)
		return true;
	char *output = realloc(client->output, size);
	if (!output)
		return false;
	client->output = output;
	client->size = size;
	return true;
}

static void send_bytes(struct client *client, const char *bytes, size_t len)
{
	if (client->deaf || client->gone) {
		client->gone |= client->ending;
		return;
	}
	if (client->pending + len > OUTPUT_MAX || !make_room(client, len)) {
		client->gone = true;
		return;
	}
	memcpy(client->output + client->start + client->pending, bytes, len);
	client->pending += len;
	flush(client);
}

/* Takes the reference @message; if that is NULL (out of memory), ends the connection. */
static void send_message(struct client *client, json_t *message)
{
	size_t len;
	char *line = codec_line(message, &len);
	if (line)
		send_bytes(client, line, len);
	else
		client->gone = true;
	free(line);
	json_decref(message);
}

static void send_all(struct control_server *server, json_t *message)
{
	size_t len;
	char *line = codec_line(message, &len);
	struct client *client;
	for (unsigned int i = 0; (client = client_at(server, i)); i++) {
		if (client->source.fd < 0 || !client->negotiated || client->ending)
			continue;
		if (line)
			send_bytes(client, line, len);
		else
			client->gone = true;
	}
	free(line);
	json_decref(message);
}

/* --- clients ------------------------------------------------------------------------------- */

static void drop_passed(struct client *client)
{
	if (client->passed >= 0)
		close(client->passed);
	client->passed = -1;
}

static void close_client(struct client *client)
{
	drop_passed(client);
	loop_remove(client->server->loop, &client->source);
	close(client->source.fd);
	client->source.fd = -1;
	codec_release(&client->codec);
	free(client->output);
	client->output = NULL;
	json_decref(client->deferred_id);
	client->deferred_id = NULL;
	client->deferred = 0;
}

static enum interest interest_in(const struct client *client)
{
	if (client->pending > 0)
		return TO_WRITE;
	return client->deferred ? NOTHING : TO_READ;
}

/* Makes the loop wait for the events that this client needs. Returns 0 or -errno. */
static int wait_for(struct client *client)
{
	struct loop *loop = client->server->loop;
	enum interest now = interest_in(client);
	int err = 0;
	if (now == client->interest)
		return 0;
	if (now == NOTHING)
		loop_remove(loop, &client->source);
	else if (client->interest == NOTHING)
		err = loop_add(loop, &client->source);
	if (now != NOTHING && !err)
		err = loop_wait_for(loop, &client->source, now == TO_WRITE);
	client->interest = now;
	return err;
}

/* Called after clients changed: closes those that are gone, and updates the others' interest. */
static void settle(struct control_server *server)
{
	struct client *client;
	for (unsigned int i = 0; !server->serving && (client = client_at(server, i)); i++) {
		if (client->source.fd < 0)
			continue;
		if (!client->gone)
			client->gone = wait_for(client) != 0;
		if (client->gone)
			close_client(client);
	}
}

/* Sends the answer, unless the command was deferred. */
static void answer(struct client *client, const json_t *message)
{
	json_t *reply = dispatch_answer(&client->entrance->dispatch, &client->negotiated, message);
	if (client->deferred) {
		client->deferred_id = json_incref(json_object_get(message, "id"));
		json_decref(reply);
	} else {
		send_message(client, reply);
	}
}

/* Takes @used bytes out of the socket, with the descriptor that may have come with them. */
static void consume(struct client *client, size_t used)
{
	char bytes[READ_MAX];
	int passed;

	while (used > 0) {
		ssize_t len = pass_fd_receive(client->source.fd, bytes, used, &passed);
		if (len < 0 && errno == EINTR)
			continue;
		if (len <= 0) {
			/* Otherwise the same bytes would be parsed again. */
			client->gone = true;
			return;
		}
		if (passed >= 0) {
			drop_passed(client);
			client->passed = passed;
		}
		used -= (size_t)len;
	}
}

static void act(struct client *client, enum codec_result result, const json_t *message)
{
	switch (result) {
	case CODEC_MORE:
		break;
	case CODEC_MESSAGE:
		answer(client, message);
		drop_passed(client);
		break;
	case CODEC_FATAL:
		client->ending = true;
		/* fall through */
	case CODEC_BAD:
		send_message(client, dispatch_error(client->codec.error));
		drop_passed(client);
		break;
	}
}

/*
 * Reads at most one message, so that the others have their turn. The rest stays in the socket, and
 * the loop returns to it. A descriptor is with the message whose bytes it was sent with: so these are
 * taken before it is carried out, and no more of them.
 */
static void read_client(struct client *client)
{
	char bytes[READ_MAX];
	size_t used = 0;
	json_t *message;
	ssize_t len = recv(client->source.fd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);
	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (len <= 0) {
		client->gone = true;
		return;
	}
	enum codec_result result = codec_feed(&client->codec, bytes, (size_t)len, &used, &message);
	consume(client, used);
	if (!client->gone)
		act(client, result, message);
	json_decref(message);
}

static void on_client(void *ctx)
{
	struct client *client = ctx;
	struct control_server *server = client->server;
	server->serving = client;
	if (client->interest == TO_WRITE)
		flush(client);
	else
		read_client(client);
	server->serving = NULL;
	settle(server);
}

static void add_client(struct entrance *entrance, struct client *client, int fd)
{
	struct control_server *server = entrance->server;
	*client = (struct client){.server = server, .entrance = entrance, .passed = -1};
	client->source = (struct loop_source){fd, on_client, client};
	codec_init(&client->codec, CODEC_MESSAGE_MAX);
	if (loop_add(server->loop, &client->source) < 0) {
		close_client(client);
		return;
	}
	send_message(client, dispatch_greeting());
	settle(server);
}

/* --- the doors ------------------------------------------------------------------------------ */

/* Tells the client the reason, instead of leaving it to wait in the backlog. */
static void refuse(int fd)
{
	size_t len;
	json_t *message = dispatch_error("Too many clients are connected; try again later");
	char *line = codec_line(message, &len);
	if (line) {
		ssize_t ignored = send(fd, line, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		(void)ignored;
	}
	free(line);
	json_decref(message);
	close(fd);
}

static void enter(struct door *door, int fd)
{
	struct entrance *entrance = door->ctx;
	for (int i = 0; i < CLIENTS_MAX; i++) {
		if (entrance->clients[i].source.fd < 0) {
			add_client(entrance, &entrance->clients[i], fd);
			return;
		}
	}
	refuse(fd);
}

/* --- events -------------------------------------------------------------------------------- */

static void start_timer(struct loop_source *timer)
{
	wake_timer_at(timer->fd, clock_ns() + NS_PER_S);
}

static void on_rate(void *ctx)
{
	struct control_server *server = ctx;
	wake_take(server->rate.fd);
	server->resting = server->held != NULL;
	if (!server->held)
		return;
	json_t *held = server->held;
	server->held = NULL;
	start_timer(&server->rate);
	send_all(server, held);
	settle(server);
}

void control_server_event(struct control_server *server, const char *event, json_t *data)
{
	json_t *message = dispatch_event(event, data);
	/* The only event of ebb whose rate QEMU limits (monitor/monitor.c). */
	if (strcmp(event, "BALLOON_CHANGE") == 0) {
		if (server->resting) {
			json_decref(server->held);
			server->held = message;
			return;
		}
		server->resting = true;
		start_timer(&server->rate);
	}
	send_all(server, message);
	settle(server);
}

/* --- answers that come later --------------------------------------------------------------- */

int control_server_take_descriptor(struct control_server *server)
{
	int passed = server->serving ? server->serving->passed : -1;
	if (passed >= 0)
		server->serving->passed = -1;
	return passed;
}

bool control_server_only_reads(const struct control_server *server)
{
	return server->serving->entrance->dispatch.reads_only;
}

uint64_t control_server_defer(struct control_server *server)
{
	server->serving->deferred = ++server->deferrals;
	return server->deferrals;
}

void control_server_answer(struct control_server *server, uint64_t command, json_t *result,
			   const struct control_error *error)
{
	struct client *client;
	for (unsigned int i = 0; (client = client_at(server, i)); i++) {
		if (client->source.fd < 0 || client->deferred != command)
			continue;
		json_t *id = client->deferred_id;
		client->deferred = 0;
		client->deferred_id = NULL;
		send_message(client, dispatch_reply(id, result, error));
		json_decref(id);
		settle(server);
		return;
	}
	json_decref(result);
}

/* --- begin and end ------------------------------------------------------------------------- */

static int add_entrance(struct control_server *server, const struct control_door *is)
{
	struct entrance *entrance = &server->entrance[server->entrances++];
	entrance->server = server;
	entrance->dispatch = (struct dispatch){server->commands, server->ctx, is->reads_only};
	for (int i = 0; i < CLIENTS_MAX; i++)
		entrance->clients[i].source.fd = -1;
	return door_init(&entrance->door, server->loop, is, enter, entrance);
}

static void say_why(int err)
{
	log_error("cannot serve the control socket: %s", strerror(-err));
}

int control_server_add_door(struct control_server *server, const struct control_door *door)
{
	int err = add_entrance(server, door);
	if (err) {
		say_why(err);
		door_release(&server->entrance[--server->entrances].door);
	}
	return err;
}

int control_server_init(struct control_server **out, struct loop *loop, int listener, int directory,
			const struct control_command *commands, void *ctx)
{
	const struct control_door main = {listener, directory, CONTROL_NO_GROUP, false};
	int err = -ENOMEM;
	struct control_server *server = calloc(1, sizeof(*server));
	*out = server;
	if (!server) {
		close(listener);
		goto out;
	}
	/* Now: later, in the sandbox, jansson could not open /dev/urandom for its hash tables. */
	json_object_seed(0);
	server->loop = loop;
	server->commands = commands;
	server->ctx = ctx;
	server->rate = (struct loop_source){wake_timer_open(), on_rate, server};
	err = add_entrance(server, &main);
	if (!err)
		err = server->rate.fd < 0 ? server->rate.fd : loop_add(loop, &server->rate);
out:
	if (err) {
		say_why(err);
		control_server_release(server);
		*out = NULL;
	}
	return err;
}

void control_server_release(struct control_server *server)
{
	struct client *client;
	if (!server)
		return;
	if (server->held)
		send_all(server, server->held);
	for (unsigned int i = 0; (client = client_at(server, i)); i++) {
		if (client->source.fd < 0)
			continue;
		flush(client);
		close_client(client);
	}
	for (unsigned int i = 0; i < server->entrances; i++)
		door_release(&server->entrance[i].door);
	if (server->rate.fd >= 0) {
		loop_remove(server->loop, &server->rate);
		close(server->rate.fd);
	}
	free(server);
}
