// SPDX-License-Identifier: Apache-2.0
/* The console: bytes in both directions, control messages, a host that takes little, a terminal that changes its size. */
#include <errno.h>
#include <string.h>

#include "devices/virtio-console/internal.h"
#include "devices/virtio-console/vcon.h"
#include "tests/fuzz/guest.h"

static struct vcon vcon;
static size_t room;

static ssize_t transmit(void *ctx, unsigned int port, const uint8_t *data, size_t len)
{
	(void)ctx, (void)data;
	MUST(port < vcon.ports && len > 0);
	if (room == 0)
		return -EAGAIN;
	len = len < room ? len : room;
	room -= room == SIZE_MAX ? 0 : len;
	return (ssize_t)len;
}

static void receive_ready(void *ctx, unsigned int port)
{
	(void)ctx;
	MUST(port < vcon.ports && vcon.port[port].count < VCON_INPUT);
}

static const struct vcon_host host = {NULL, transmit, receive_ready};

static struct virtio_device *plug(const struct guest_record *machine)
{
	const struct vcon_config config = {.console = machine->a != 2,
					   .name = {"first", "second"},
					   .names = machine->a == 1 ? 0 : 2,
					   .host = &host};

	room = SIZE_MAX;
	vcon_init(&vcon, &config, &guest.host);
	return &vcon.dev;
}

static uint8_t input_at(const struct vcon_port *port, unsigned int i)
{
	return port->input[(port->first + i) % VCON_INPUT];
}

/* Each byte is one more than that before it. */
static void types(unsigned int number, size_t len)
{
	const struct vcon_port *port = &vcon.port[number];
	uint8_t next = port->count ? input_at(port, port->count - 1) : 0;
	uint8_t bytes[VCON_INPUT];

	if (len > sizeof(bytes))
		len = sizeof(bytes);
	for (size_t i = 0; i < len; i++)
		bytes[i] = ++next;
	if (port->present)
		MUST(vcon_receive(&vcon, number, bytes, len) <= len);
}

static void event(const struct guest_record *record)
{
	unsigned int port = record->c % vcon.ports;

	switch (record->a % 6) {
	case 0:
		types(0, record->b);
		break;
	case 1:
		types(port, record->b);
		break;
	case 2:
		vcon_resize(&vcon, record->b, (uint16_t)record->c);
		break;
	case 3:
		room = record->b == 0xffff ? SIZE_MAX : record->b;
		for (unsigned int i = 0; i < vcon.ports; i++)
			vcon_output_ready(&vcon, i);
		break;
	case 4:
		vcon_set_host_open(&vcon, port, record->b & 1);
		break;
	default:
		vcon_hold(&vcon, record->b & 1);
	}
}

/* Input keeps its order, whatever the guest does. */
static void check(void)
{
	for (unsigned int i = 0; i < vcon.ports; i++) {
		const struct vcon_port *port = &vcon.port[i];
		MUST(port->count <= VCON_INPUT && port->first < VCON_INPUT);
		MUST(!(port->tell >> TELL_KINDS) && (port->present || !port->tell));
		for (unsigned int n = 1; n < port->count; n += 97)
			MUST(input_at(port, n) == (uint8_t)(input_at(port, n - 1) + 1));
	}
}

static void unplug(void)
{
	vcon_release(&vcon);
}

static size_t payload(uint32_t random, uint8_t *data)
{
	const struct virtio_console_control message = {
		.id = random & 3, .event = random >> 2 & 7, .value = random >> 5 & 1};

	memcpy(data, &message, sizeof(message));
	return sizeof(message);
}

static const uint16_t lengths[] = {8, 64, 4096, 1, 7, 12, 65535};

const struct guest_device guest_device = {
	.plug = plug,
	.event = event,
	.unplug = unplug,
	.check = check,
	.shape = {.first = 8,
		  .readable = 2,
		  .writable = 2,
		  .lengths = lengths,
		  .lengths_count = sizeof(lengths) / sizeof(lengths[0]),
		  .payload = payload},
};
