// SPDX-License-Identifier: Apache-2.0
/*
 * The device in a snapshot. Its ports and their names are as the options say, which the driver has read; the terminal's
 * size and what is at the other end of a port are those of the host where the guest goes on, and are told anew.
 */
#include <errno.h>
#include <string.h>

#include "devices/virtio-console/internal.h"

void vcon_save(struct virtio_device *dev, struct record *record)
{
	struct vcon *vcon = vcon_of(dev);

	pthread_mutex_lock(&vcon->lock);
	record_u8(record, (uint8_t)vcon->ports);
	for (unsigned int i = 0; i < vcon->ports; i++) {
		const struct vcon_port *port = &vcon->port[i];
		record_u8(record, port->present);
		record_bytes(record, port->name, sizeof(port->name));
		record_u8(record, port->ready);
		record_u8(record, port->guest_open);
		record_u8(record, port->tell);
		record_u32(record, port->sent.buffer);
		record_u32(record, port->sent.offset);
		record_u16(record, (uint16_t)port->count);
		for (unsigned int n = 0; n < port->count; n++)
			record_u8(record, port->input[(port->first + n) % VCON_INPUT]);
	}
	pthread_mutex_unlock(&vcon->lock);
}

/* With the lock. Returns 0, -ESTALE or -EINVAL. */
static int restore_port(struct vcon_port *port, struct record_in *in)
{
	char name[sizeof(port->name)];
	uint8_t present = record_take_u8(in);

	record_take_bytes(in, name, sizeof(name));
	if (present != port->present || memcmp(name, port->name, sizeof(name)) != 0)
		return -ESTALE;
	uint8_t ready = record_take_u8(in);
	uint8_t guest_open = record_take_u8(in);
	uint8_t tell = record_take_u8(in);
	port->sent.buffer = record_take_u32(in);
	port->sent.offset = record_take_u32(in);
	uint16_t count = record_take_u16(in);
	if (ready > 1 || guest_open > 1 || tell >> TELL_KINDS || count > VCON_INPUT ||
	    (!present && (ready || guest_open || tell || count)))
		return -EINVAL;
	record_take_bytes(in, port->input, count);
	port->first = 0;
	port->count = count;
	port->ready = ready;
	port->guest_open = guest_open;
	/* The size is told anew, if there is one here: by vcon_restore(), or later by vcon_resize(). */
	port->tell = tell & (uint8_t) ~(TELL_SIZE | TELL_OPEN);
	if (ready)
		vcon_tell_open(port, port->host_open);
	port->cut = port->name[0] != '\0';
	return 0;
}

int vcon_restore(struct virtio_device *dev, struct record_in *in)
{
	struct vcon *vcon = vcon_of(dev);
	int error = record_take_u8(in) == vcon->ports ? 0 : -ESTALE;

	pthread_mutex_lock(&vcon->lock);
	for (unsigned int i = 0; i < vcon->ports && !error; i++)
		error = restore_port(&vcon->port[i], in);
	/* The driver knows another terminal's. */
	bool sized = !error && vcon->columns && vcon->rows;
	if (sized)
		vcon_renew_size(vcon);
	pthread_mutex_unlock(&vcon->lock);
	if (sized)
		virtio_config_changed(dev);
	for (unsigned int i = 0; i < dev->queues && !error; i++)
		error = virtio_queues_hold(dev, i, 0) ? 0 : -EINVAL;
	return error;
}
