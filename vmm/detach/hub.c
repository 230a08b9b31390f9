// SPDX-License-Identifier: Apache-2.0
#include "vmm/detach/hub.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- output ------------------------------------------------------------------------------------ */

static void client_leave(struct hub_client *client)
{
	if (client->waits != HUB_IGNORED)
		loop_remove(client->hub->loop, &client->source);
	close(client->source.fd);
	client->source.fd = -1;
}

/* The client that has the guest's input, or NULL. */
static struct hub_client *writer_of(struct hub *hub)
{
	struct hub_client *writer = NULL;

	for (size_t i = 0; i < HUB_CLIENTS_MAX; i++) {
		struct hub_client *client = &hub->client[i];
		if (client->source.fd >= 0 && client->writes &&
		    (!writer || client->serial < writer->serial))
			writer = client;
	}
	return writer;
}

/* Returns the bytes sent, 0 if the client takes none now, or -1 if it is gone. */
static ssize_t client_send(const struct hub_client *client, const void *data, size_t len)
{
	ssize_t sent = send(client->source.fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent >= 0)
		return sent;
	return errno == EAGAIN || errno == EINTR ? 0 : -1;
}

/* Moves a client that was too slow to the oldest output that is kept, and tells it. */
static ssize_t client_catch_up(struct hub_client *client)
{
	char note[80];
	uint64_t oldest = client->hub->end - HUB_KEPT;
	int len =
		snprintf(note, sizeof(note), "\r\n[ebb: %llu bytes of output are missing here]\r\n",
			 (unsigned long long)(oldest - client->at));
	ssize_t sent = client_send(client, note, (size_t)len);
	if (sent > 0)
		client->at = oldest;
	return sent;
}

/* Sends one piece of what the client has not got. Returns as client_send(); 0 also if there is none. */
static ssize_t client_advance(struct hub_client *client)
{
	struct hub *hub = client->hub;

	if (!client->greeted) {
		const uint8_t hello = writer_of(hub) == client ? HUB_WRITES : HUB_WATCHES;
		ssize_t sent = client_send(client, &hello, 1);
		client->greeted = sent > 0;
		return sent;
	}
	if (hub->end - client->at > HUB_KEPT)
		return client_catch_up(client);
	size_t from = client->at % HUB_KEPT;
	size_t len = hub->end - client->at;
	len = len < HUB_KEPT - from ? len : HUB_KEPT - from;
	ssize_t sent = len ? client_send(client, hub->kept + from, len) : 0;
	if (sent > 0)
		client->at += (uint64_t)sent;
	return sent;
}

/* Makes the loop wait for room for output, else for input, else, if none is wanted, for nothing. */
static void client_wait(struct hub_client *client)
{
	struct hub *hub = client->hub;
	bool output = client->at < hub->end || !client->greeted;
	bool input = client->writes && !(hub->held_count && writer_of(hub) == client);
	int waits = output ? HUB_WRITTEN : input ? HUB_READ : HUB_IGNORED;

	if (waits == (int)client->waits)
		return;
	if (waits == HUB_IGNORED)
		loop_remove(hub->loop, &client->source);
	else if (client->waits == HUB_IGNORED && loop_add(hub->loop, &client->source) != 0)
		return;
	if (waits != HUB_IGNORED)
		loop_wait_for(hub->loop, &client->source, output);
	client->waits = waits;
}

/* Sends what the client takes. */
static void client_output(struct hub_client *client)
{
	ssize_t sent;
	do
		sent = client_advance(client);
	while (sent > 0);
	if (sent < 0)
		client_leave(client);
	else
		client_wait(client);
}

void hub_output(struct hub *hub, const uint8_t *data, size_t len)
{
	/* More than the ring holds comes in pieces, so that no client misses any that it could get. */
	while (len > 0) {
		size_t at = hub->end % HUB_KEPT;
		size_t piece = len < HUB_KEPT - at ? len : HUB_KEPT - at;
		memcpy(hub->kept + at, data, piece);
		hub->end += piece;
		data += piece;
		len -= piece;
		for (size_t i = 0; i < HUB_CLIENTS_MAX; i++)
			if (hub->client[i].source.fd >= 0)
				client_output(&hub->client[i]);
	}
}

/* --- input ------------------------------------------------------------------------------------- */

/* Gives the guest the input that is held. While some is left, waits for room in the pipe. */
static void input_push(struct hub *hub)
{
	ssize_t written = write(hub->input.fd, hub->held, hub->held_count);
	if (written < 0 && errno != EAGAIN && errno != EINTR)
		written = (ssize_t)hub->held_count; /* nobody reads it any more */
	if (written > 0) {
		hub->held_count -= (size_t)written;
		memmove(hub->held, hub->held + written, hub->held_count);
	}
	bool waits = hub->held_count > 0;
	if (waits && !hub->input_waits && loop_add(hub->loop, &hub->input) == 0)
		loop_wait_for(hub->loop, &hub->input, true);
	if (!waits && hub->input_waits)
		loop_remove(hub->loop, &hub->input);
	hub->input_waits = waits;
}

static void input_ready(void *ctx)
{
	struct hub *hub = ctx;

	input_push(hub);
	struct hub_client *writer = writer_of(hub);
	if (writer)
		client_wait(writer);
}

static void client_ready(void *ctx)
{
	struct hub_client *client = ctx;
	struct hub *hub = client->hub;
	uint8_t data[HUB_INPUT];

	if (client->waits == HUB_WRITTEN) {
		client_output(client);
		return;
	}
	ssize_t len = recv(client->source.fd, data, sizeof(data), MSG_DONTWAIT);
	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (len < 0) {
		client_leave(client);
		return;
	}
	if (len == 0) {
		/* It may go on to watch: a client that is gone is found when output is sent, or by sweep(). */
		client->writes = false;
	} else if (writer_of(hub) == client) {
		memcpy(hub->held, data, (size_t)len);
		hub->held_count = (size_t)len;
		input_push(hub);
	}
	client_wait(client);
}

/* --- clients ----------------------------------------------------------------------------------- */

static bool is_permitted(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       (peer.uid == 0 || peer.uid == geteuid());
}

/* Frees the places of clients that are gone. */
static void sweep(struct hub *hub)
{
	for (size_t i = 0; i < HUB_CLIENTS_MAX; i++) {
		struct pollfd gone = {.fd = hub->client[i].source.fd};
		if (gone.fd >= 0 && poll(&gone, 1, 0) == 1)
			client_leave(&hub->client[i]);
	}
}

static void listener_ready(void *ctx)
{
	struct hub *hub = ctx;
	struct hub_client *client = hub->client;
	int fd = accept4(hub->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	sweep(hub);
	while (client < hub->client + HUB_CLIENTS_MAX && client->source.fd >= 0)
		client++;
	if (client == hub->client + HUB_CLIENTS_MAX || !is_permitted(fd)) {
		close(fd);
		return;
	}
	*client = (struct hub_client){.hub = hub,
				      .source = {fd, client_ready, client},
				      .at = hub->end < HUB_KEPT ? 0 : hub->end - HUB_KEPT,
				      .serial = hub->clients++,
				      .writes = true};
	client_output(client);
}

void hub_init(struct hub *hub, struct loop *loop, int input)
{
	memset(hub, 0, sizeof(*hub));
	hub->loop = loop;
	hub->listener = (struct loop_source){-1, listener_ready, hub};
	hub->input = (struct loop_source){input, input_ready, hub};
	for (size_t i = 0; i < HUB_CLIENTS_MAX; i++)
		hub->client[i].source.fd = -1;
}

int hub_listen(struct hub *hub, int listener)
{
	hub->listener.fd = listener;
	return loop_add(hub->loop, &hub->listener);
}

void hub_release(struct hub *hub)
{
	for (size_t i = 0; i < HUB_CLIENTS_MAX; i++) {
		if (hub->client[i].source.fd < 0)
			continue;
		client_output(&hub->client[i]);
		if (hub->client[i].source.fd >= 0)
			client_leave(&hub->client[i]);
	}
	if (hub->listener.fd >= 0) {
		loop_remove(hub->loop, &hub->listener);
		close(hub->listener.fd);
	}
	if (hub->input_waits)
		loop_remove(hub->loop, &hub->input);
	if (hub->input.fd >= 0)
		close(hub->input.fd);
	hub->input_waits = false;
	hub->listener.fd = hub->input.fd = -1;
}
