// SPDX-License-Identifier: Apache-2.0
#include "devices/vhost-user/frontend.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "devices/vhost-user/channel.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/signal_waits.h"

#define PROTOCOL_FEATURES (1ULL << VHOST_USER_F_PROTOCOL_FEATURES)
/* Each step has a reply, so that a backend which cannot do it is known at once. */
#define PROTOCOL_REPLY_ACK (1ULL << VHOST_USER_PROTOCOL_F_REPLY_ACK)
#define PROTOCOL_CONFIG	   (1ULL << VHOST_USER_PROTOCOL_F_CONFIG)
/* Between two looks for signals. */
#define LOOK_MS 100

static int receive(const struct vhost_user *backend, enum vhost_user_request request,
		   uint8_t payload[8], uint64_t deadline)
{
	uint8_t header[VHOST_USER_HEADER_SIZE];

	int error = channel_receive(backend->socket, header, sizeof(header), deadline);
	if (error)
		return error;
	int len = vhost_user_decode_header(header, request);
	return len < 0 ? len : channel_receive(backend->socket, payload, (size_t)len, deadline);
}

/* Sends @message and sets @payload to the reply to it. */
static int ask(const struct vhost_user *backend, enum vhost_user_request request,
	       const struct vhost_user_message *message, const int *fd, unsigned int fds,
	       uint8_t payload[8], uint64_t deadline)
{
	int error = channel_send(backend->socket, message, fd, fds, deadline);

	return error ? error : receive(backend, request, payload, deadline);
}

/* Sends @message, made with @ack, and waits until the backend has done it. */
static int tell(const struct vhost_user *backend, enum vhost_user_request request,
		const struct vhost_user_message *message, const int *fd, unsigned int fds,
		uint64_t deadline)
{
	uint8_t payload[8];

	int error = ask(backend, request, message, fd, fds, payload, deadline);
	if (error)
		return error;
	return vhost_user_decode_u64(payload) ? -EREMOTEIO : 0;
}

static int get_u64(const struct vhost_user *backend, enum vhost_user_request request,
		   uint64_t *value, uint64_t deadline)
{
	struct vhost_user_message message;
	uint8_t payload[8];

	vhost_user_encode(&message, request, false);
	int error = ask(backend, request, &message, NULL, 0, payload, deadline);
	if (!error)
		*value = vhost_user_decode_u64(payload);
	return error;
}

static int set_u64(const struct vhost_user *backend, enum vhost_user_request request,
		   uint64_t value, uint64_t deadline)
{
	struct vhost_user_message message;

	vhost_user_encode_u64(&message, request, true, value);
	return tell(backend, request, &message, NULL, 0, deadline);
}

static int set_state(const struct vhost_user *backend, enum vhost_user_request request,
		     unsigned int queue, uint32_t value, uint64_t deadline)
{
	struct vhost_user_message message;

	vhost_user_encode_state(&message, request, true, queue, value);
	return tell(backend, request, &message, NULL, 0, deadline);
}

static int set_fd(const struct vhost_user *backend, enum vhost_user_request request,
		  unsigned int queue, int fd, uint64_t deadline)
{
	struct vhost_user_message message;

	vhost_user_encode_u64(&message, request, true, queue);
	return tell(backend, request, &message, &fd, 1, deadline);
}

/* What ebb needs of every backend, after the first question. */
static int get_protocol(const struct vhost_user *backend, uint64_t *protocol, uint64_t deadline)
{
	if (!(backend->features & PROTOCOL_FEATURES))
		return -ENOTSUP;
	int error = get_u64(backend, VHOST_USER_GET_PROTOCOL_FEATURES, protocol, deadline);
	return error ? error : *protocol & PROTOCOL_REPLY_ACK ? 0 : -ENOTSUP;
}

int vhost_user_open(struct vhost_user *backend, int socket, uint64_t deadline)
{
	struct vhost_user_message message;
	uint64_t protocol = 0;

	*backend = (struct vhost_user){.socket = socket};
	int error = get_u64(backend, VHOST_USER_GET_FEATURES, &backend->features, deadline);
	if (!error)
		error = get_protocol(backend, &protocol, deadline);
	if (error)
		return error;
	/* From the next message on there are replies. */
	vhost_user_encode_u64(&message, VHOST_USER_SET_PROTOCOL_FEATURES, false,
			      protocol & (PROTOCOL_REPLY_ACK | PROTOCOL_CONFIG));
	backend->has_config = protocol & PROTOCOL_CONFIG;
	error = channel_send(backend->socket, &message, NULL, 0, deadline);
	if (error)
		return error;
	vhost_user_encode(&message, VHOST_USER_SET_OWNER, true);
	return tell(backend, VHOST_USER_SET_OWNER, &message, NULL, 0, deadline);
}

/* Waits for a byte, and for signals. */
static int await_reply(int socket, uint64_t deadline)
{
	struct pollfd reply = {.fd = socket, .events = POLLIN};

	while (clock_ns() < deadline) {
		if (end_signal_waits())
			return -EINTR;
		if (poll(&reply, 1, LOOK_MS) > 0)
			return 0;
	}
	return -ETIMEDOUT;
}

int vhost_user_probe(int socket, uint64_t deadline)
{
	struct vhost_user backend = {.socket = socket};
	struct vhost_user_message message;
	uint64_t protocol;
	uint8_t payload[8];

	vhost_user_encode(&message, VHOST_USER_GET_FEATURES, false);
	int error = channel_send(socket, &message, NULL, 0, deadline);
	/* It may take its time to begin; once it has, it answers. */
	if (!error)
		error = await_reply(socket, deadline);
	if (!error)
		error = receive(&backend, VHOST_USER_GET_FEATURES, payload, deadline);
	if (error)
		return error;
	backend.features = vhost_user_decode_u64(payload);
	if (~backend.features & VHOST_USER_FEATURES)
		return -ENOTSUP;
	return get_protocol(&backend, &protocol, deadline);
}

void vhost_user_close(struct vhost_user *backend)
{
	if (backend->socket >= 0)
		close(backend->socket);
	*backend = (struct vhost_user){.socket = -1};
}

int vhost_user_get_config(const struct vhost_user *backend, void *data, uint32_t len,
			  uint64_t deadline)
{
	uint8_t header[VHOST_USER_HEADER_SIZE], payload[VHOST_USER_CONFIG_HEADER];
	struct vhost_user_message message;

	if (!backend->has_config)
		return -ENOTSUP;
	vhost_user_encode_config(&message, len);
	int error = channel_send(backend->socket, &message, NULL, 0, deadline);
	if (!error)
		error = channel_receive(backend->socket, header, sizeof(header), deadline);
	if (!error)
		error = vhost_user_decode_config_header(header, len);
	if (!error)
		error = channel_receive(backend->socket, payload, sizeof(payload), deadline);
	if (!error)
		error = vhost_user_decode_config(payload, len);
	return error ? error : channel_receive(backend->socket, data, len, deadline);
}

int vhost_user_set_up(const struct vhost_user *backend, uint64_t features, const struct ram *ram,
		      uint64_t deadline)
{
	struct ram_share share[RAM_REGIONS_MAX];
	struct vhost_user_message message;
	int fd[RAM_REGIONS_MAX];

	if (features & ~backend->features)
		return -ENOTSUP;
	int n = ram_shares(ram, share);
	if (n < 0)
		return n;
	int error =
		set_u64(backend, VHOST_USER_SET_FEATURES, features | PROTOCOL_FEATURES, deadline);
	if (error)
		return error;
	for (int i = 0; i < n; i++)
		fd[i] = share[i].fd;
	vhost_user_encode_memory(&message, true, share, (unsigned int)n);
	return tell(backend, VHOST_USER_SET_MEM_TABLE, &message, fd, (unsigned int)n, deadline);
}

int vhost_user_start(const struct vhost_user *backend, const struct vhost_user_queue *queue,
		     uint64_t deadline)
{
	const struct virtq *q = queue->q;
	const struct vhost_user_ring ring = {(uintptr_t)q->desc, (uintptr_t)q->avail,
					     (uintptr_t)q->used};
	struct vhost_user_message message;
	unsigned int i = queue->index;

	int error = set_state(backend, VHOST_USER_SET_VRING_NUM, i, q->size, deadline);
	if (!error)
		error = set_state(backend, VHOST_USER_SET_VRING_BASE, i, q->next_avail, deadline);
	if (!error) {
		vhost_user_encode_ring(&message, true, i, &ring);
		error = tell(backend, VHOST_USER_SET_VRING_ADDR, &message, NULL, 0, deadline);
	}
	if (!error)
		error = set_fd(backend, VHOST_USER_SET_VRING_CALL, i, queue->call, deadline);
	if (!error)
		error = set_fd(backend, VHOST_USER_SET_VRING_KICK, i, queue->kick, deadline);
	if (!error)
		error = set_state(backend, VHOST_USER_SET_VRING_ENABLE, i, 1, deadline);
	return error;
}

int vhost_user_stop(const struct vhost_user *backend, unsigned int queue, uint64_t deadline)
{
	struct vhost_user_message message;
	uint8_t payload[8];
	uint32_t base;

	vhost_user_encode_state(&message, VHOST_USER_GET_VRING_BASE, false, queue, 0);
	int error = ask(backend, VHOST_USER_GET_VRING_BASE, &message, NULL, 0, payload, deadline);
	return error ? error : vhost_user_decode_state(payload, queue, &base);
}

int vhost_user_check(const struct vhost_user *backend)
{
	return backend->socket < 0 ? -EPIPE : channel_check(backend->socket);
}
