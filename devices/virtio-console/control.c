// SPDX-License-Identifier: Apache-2.0
/*
 * The control queues (§5.3.6.2). What the driver has to be told is one bit for each kind of message and port, and its
 * contents are made when there is a buffer: a driver that asks without end, or never reads, takes no memory.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "devices/virtio-console/internal.h"

struct message {
	struct virtio_console_control head;
	uint8_t body[VCON_NAME_MAX];
};

/* --- to the guest -------------------------------------------------------------------------------- */

uint8_t vcon_news_of(const struct vcon *vcon, const struct vcon_port *port)
{
	uint8_t news = port->host_open ? TELL_OPEN : 0;

	if (port->name[0])
		return news | TELL_NAME;
	if (vcon_has(vcon, VIRTIO_CONSOLE_F_SIZE) && vcon->columns && vcon->rows)
		news |= TELL_SIZE;
	return news | TELL_CONSOLE;
}

/* An open that the driver has not heard of needs no close; a close does not vanish behind the next open. */
void vcon_tell_open(struct vcon_port *port, bool open)
{
	if (open)
		port->tell |= TELL_OPEN;
	else if (port->tell & TELL_OPEN)
		port->tell &= (uint8_t)~TELL_OPEN;
	else
		port->tell |= TELL_CLOSE;
}

static bool has_news(const struct vcon_port *port)
{
	return port->tell & (port->count ? ~TELL_CLOSE : ~0U);
}

/* Returns the first port that has something to be told, or NULL. With the lock. */
static struct vcon_port *waiting_port(struct vcon *vcon)
{
	for (unsigned int i = 0; i < vcon->ports; i++)
		if (has_news(&vcon->port[i]))
			return &vcon->port[i];
	return NULL;
}

/* Makes the first message for @port, which then waits no more. Returns its length. With the lock. */
static size_t take_message(struct vcon *vcon, struct vcon_port *port, struct message *message)
{
	static const uint16_t events[TELL_KINDS] = {
		VIRTIO_CONSOLE_PORT_ADD, VIRTIO_CONSOLE_CONSOLE_PORT, VIRTIO_CONSOLE_PORT_NAME,
		VIRTIO_CONSOLE_RESIZE,	 VIRTIO_CONSOLE_PORT_OPEN,    VIRTIO_CONSOLE_PORT_OPEN};
	/* Older kernels read these two in the other order. */
	const uint16_t size[] = {htole16(vcon->columns), htole16(vcon->rows)};
	bool close = port->tell & TELL_CLOSE && port->count == 0;
	uint8_t bit = close ? TELL_CLOSE : (uint8_t)(port->tell & -port->tell);
	size_t len = 0;

	port->tell &= (uint8_t)~bit;
	message->head = (struct virtio_console_control){
		.id = htole32((uint32_t)(port - vcon->port)),
		.event = htole16(events[__builtin_ctz(bit)]),
		.value = htole16(bit != TELL_CLOSE),
	};
	if (bit == TELL_NAME)
		memcpy(message->body, port->name, len = strlen(port->name));
	if (bit == TELL_SIZE)
		memcpy(message->body, size, len = sizeof(size));
	return sizeof(message->head) + len;
}

int vcon_tell(struct vcon *vcon, struct virtq *q)
{
	struct virtq_chain chain;
	struct message message;

	for (unsigned int i = 0; i < VCON_TURN; i++) {
		pthread_mutex_lock(&vcon->lock);
		struct vcon_port *port = waiting_port(vcon);
		pthread_mutex_unlock(&vcon->lock);
		int popped = port ? virtq_pop(q, &chain) : 0;
		if (popped <= 0)
			return popped;
		/* Only this thread takes bits away while the device runs. */
		pthread_mutex_lock(&vcon->lock);
		size_t len = take_message(vcon, port, &message);
		pthread_mutex_unlock(&vcon->lock);
		if (chain.readable != 0 ||
		    virtq_write(vcon->dev.host->ram, &chain, &message, len) != (ssize_t)len)
			return -EPROTO;
		virtq_push(q, &chain, (uint32_t)len);
		vcon_ask_for_input(vcon, (unsigned int)(port - vcon->port));
	}
	return -EAGAIN;
}

/* --- from the guest ------------------------------------------------------------------------------ */

static void driver_is_ready(struct vcon *vcon)
{
	for (unsigned int i = 0; i < vcon->ports; i++)
		if (vcon->port[i].present)
			vcon->port[i].tell |= TELL_ADD;
}

/* A message about a port that is not there, or of a kind that is not known, means nothing. With the lock. */
static void heard(struct vcon *vcon, uint32_t id, uint16_t event, uint16_t value)
{
	if (event == VIRTIO_CONSOLE_DEVICE_READY && value)
		driver_is_ready(vcon);
	if (id >= vcon->ports || !vcon->port[id].present)
		return;
	struct vcon_port *port = &vcon->port[id];
	if (event == VIRTIO_CONSOLE_PORT_READY) {
		port->ready = value;
		port->tell |= value ? vcon_news_of(vcon, port) : 0;
	} else if (event == VIRTIO_CONSOLE_PORT_OPEN) {
		port->guest_open = value;
	}
}

int vcon_hear(struct vcon *vcon, struct virtq *q)
{
	const struct virtio_host *host = vcon->dev.host;
	struct virtio_console_control message;
	struct virtq_chain chain;

	for (unsigned int i = 0; i < VCON_TURN; i++) {
		struct virtq_cursor at = {0};
		int popped = virtq_pop(q, &chain);
		if (popped <= 0)
			return popped;
		if (chain.readable != chain.buffers ||
		    virtq_read(host->ram, &chain, &at, &message, sizeof(message)) !=
			    sizeof(message))
			return -EPROTO;
		virtq_push(q, &chain, 0);
		uint32_t id = le32toh(message.id);
		pthread_mutex_lock(&vcon->lock);
		heard(vcon, id, le16toh(message.event), le16toh(message.value));
		pthread_mutex_unlock(&vcon->lock);
		host->defer(host->ctx, VCON_CONTROL_TO_GUEST);
		if (id < vcon->ports) {
			vcon_ask_for_input(vcon, id);
			host->defer(host->ctx, vcon_queue_of(id) + VCON_RECEIVE);
		}
	}
	return -EAGAIN;
}
