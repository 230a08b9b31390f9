// SPDX-License-Identifier: Apache-2.0
/* The bytes of a port, in both directions. */
#include <errno.h>
#include <string.h>

#include "devices/virtio-console/internal.h"

#define PIECE 4096

/* --- for the guest ------------------------------------------------------------------------------- */

size_t vcon_receive(struct vcon *vcon, unsigned int number, const uint8_t *data, size_t len)
{
	const struct virtio_host *host = vcon->dev.host;
	struct vcon_port *port = &vcon->port[number];

	pthread_mutex_lock(&vcon->lock);
	size_t taken = port->tell & TELL_CLOSE ? 0 : VCON_INPUT - port->count;
	taken = len < taken ? len : taken;
	for (size_t i = 0; i < taken; i++)
		port->input[(port->first + port->count + i) % VCON_INPUT] = data[i];
	port->count += taken;
	port->held_back = port->held_back || taken < len;
	pthread_mutex_unlock(&vcon->lock);
	host->defer(host->ctx, vcon_queue_of(number) + VCON_RECEIVE);
	return taken;
}

int vcon_sysrq(struct vcon *vcon, uint8_t key)
{
	const uint8_t data[] = {VCON_SYSRQ, key};
	const struct vcon_port *console = &vcon->port[0];

	pthread_mutex_lock(&vcon->lock);
	bool room = VCON_INPUT - console->count >= sizeof(data);
	pthread_mutex_unlock(&vcon->lock);
	/* Nobody else fills it meanwhile: there is one thread for each port. */
	return room && vcon_receive(vcon, 0, data, sizeof(data)) == sizeof(data) ? 0 : -EAGAIN;
}

/*
 * Returns how many bytes there are at @port->input + @port->first. A console or a program that is not there yet would
 * lose them: until the driver says that it is, they wait.
 */
static size_t input_ready(struct vcon *vcon, const struct vcon_port *port)
{
	pthread_mutex_lock(&vcon->lock);
	size_t len = VCON_INPUT - port->first;
	len = port->count < len ? port->count : len;
	if (vcon_has(vcon, VIRTIO_CONSOLE_F_MULTIPORT) && !port->guest_open)
		len = 0;
	pthread_mutex_unlock(&vcon->lock);
	return len;
}

static void input_taken(struct vcon *vcon, unsigned int number, size_t len)
{
	const struct virtio_host *host = vcon->dev.host;
	struct vcon_port *port = &vcon->port[number];

	pthread_mutex_lock(&vcon->lock);
	port->first = (port->first + len) % VCON_INPUT;
	port->count -= len;
	bool closes = port->tell & TELL_CLOSE && port->count == 0;
	pthread_mutex_unlock(&vcon->lock);
	if (closes)
		host->defer(host->ctx, VCON_CONTROL_TO_GUEST);
	vcon_ask_for_input(vcon, number);
}

void vcon_ask_for_input(struct vcon *vcon, unsigned int number)
{
	struct vcon_port *port = &vcon->port[number];

	pthread_mutex_lock(&vcon->lock);
	bool wanted = port->held_back && port->count < VCON_INPUT && !(port->tell & TELL_CLOSE);
	if (wanted)
		port->held_back = false;
	pthread_mutex_unlock(&vcon->lock);
	if (wanted)
		vcon->host->receive_ready(vcon->host->ctx, number);
}

/*
 * Older kernels do not read the size when they start, but only when it changes: with the first input there is a
 * program that wants to know it.
 */
static void tell_size_once(struct vcon *vcon, unsigned int number)
{
	if (number != 0 || vcon->size_told)
		return;
	vcon->size_told = true;
	virtio_config_changed(&vcon->dev);
}

int vcon_to_guest(struct vcon *vcon, unsigned int number, struct virtq *q)
{
	const struct vcon_port *port = &vcon->port[number];
	struct virtq_chain chain;

	for (unsigned int i = 0; i < VCON_TURN; i++) {
		size_t len = input_ready(vcon, port);
		if (len == 0)
			return 0;
		int popped = virtq_pop(q, &chain);
		if (popped <= 0)
			return popped;
		if (chain.readable != 0)
			return -EPROTO;
		ssize_t written =
			virtq_write(vcon->dev.host->ram, &chain, port->input + port->first, len);
		if (written < 0)
			return -EPROTO;
		virtq_push(q, &chain, (uint32_t)written);
		input_taken(vcon, number, (size_t)written);
		tell_size_once(vcon, number);
	}
	return -EAGAIN;
}

/* --- of the guest -------------------------------------------------------------------------------- */

void vcon_output_ready(struct vcon *vcon, unsigned int number)
{
	const struct virtio_host *host = vcon->dev.host;

	vcon->port[number].full = false;
	host->defer(host->ctx, vcon_queue_of(number) + VCON_TRANSMIT);
}

/* The driver may have changed a chain while it waited: a place beyond it breaks the rules. */
static bool is_within(const struct virtq_chain *chain, const struct virtq_cursor *at)
{
	if (at->buffer >= chain->readable)
		return at->buffer == chain->readable && at->offset == 0;
	return at->offset <= chain->buffer[at->buffer].len;
}

/* Moves @at by @len bytes, which the chain has from there on. */
static void advance(const struct virtq_chain *chain, struct virtq_cursor *at, size_t len)
{
	while (len > 0) {
		uint64_t left = chain->buffer[at->buffer].len - at->offset;
		if (len < left) {
			at->offset += (uint32_t)len;
			return;
		}
		len -= left;
		*at = (struct virtq_cursor){.buffer = at->buffer + 1};
	}
}

/*
 * Passes on what the host has not got of @chain, up to *@budget bytes, which it lessens. Returns 0 if that was all,
 * -EAGAIN if not, or -EPROTO.
 */
static int pass_on(struct vcon *vcon, unsigned int number, const struct virtq_chain *chain,
		   size_t *budget)
{
	struct vcon_port *port = &vcon->port[number];
	uint8_t data[PIECE];

	if (chain->readable != chain->buffers || !is_within(chain, &port->sent))
		return -EPROTO;
	if (port->sent.buffer == 0 && port->sent.offset == 0)
		port->cut = false;
	while (*budget > 0 && !port->cut) {
		struct virtq_cursor at = port->sent;
		ssize_t len = virtq_read(vcon->dev.host->ram, chain, &at, data,
					 *budget < sizeof(data) ? *budget : sizeof(data));
		if (len <= 0)
			return len < 0 ? -EPROTO : 0;
		ssize_t taken = vcon->host->transmit(vcon->host->ctx, number, data, (size_t)len);
		port->full = taken <= 0;
		if (port->full)
			return -EAGAIN;
		advance(chain, &port->sent, (size_t)taken);
		*budget -= (size_t)taken;
	}
	return port->cut ? 0 : -EAGAIN;
}

int vcon_from_guest(struct vcon *vcon, unsigned int number, struct virtq *q)
{
	struct vcon_port *port = &vcon->port[number];
	size_t budget = VCON_TURN_BYTES;
	struct virtq_chain chain;

	for (unsigned int i = 0; i < VCON_TURN && !port->full; i++) {
		int popped = virtq_pop(q, &chain);
		if (popped <= 0)
			return popped;
		int error = pass_on(vcon, number, &chain, &budget);
		if (error == -EAGAIN) {
			/* The device holds no chain: this one is taken again, from port->sent on. */
			virtq_unpop(q, 1);
			return port->full ? 0 : -EAGAIN;
		}
		if (error)
			return error;
		port->sent = (struct virtq_cursor){0};
		virtq_push(q, &chain, 0);
	}
	return port->full ? 0 : -EAGAIN;
}
