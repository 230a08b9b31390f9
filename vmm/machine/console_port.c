// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/console_port.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/lib/wake.h"

/* A program that does not read is not heard either, until it does. */
static void wait_again(struct console_port *port)
{
	if (port->waits && !port->full)
		loop_mute(port->loop, &port->stream);
	else
		loop_wait_for(port->loop, &port->stream, port->full);
}

/* Another one may come. */
static void make_way(struct console_port *port)
{
	loop_remove(port->loop, &port->stream);
	if (!port->gone)
		atomic_store(&port->taken, false);
}

static void leave(struct console_port *port)
{
	make_way(port);
	close(port->stream.fd);
	port->stream.fd = -1;
	port->full = port->waits = port->gone = false;
	vcon_set_host_open(port->vcon, port->number, false);
	/* Now it is dropped. */
	vcon_output_ready(port->vcon, port->number);
}

static void stream_ready(void *ctx)
{
	struct console_port *port = ctx;
	uint8_t data[1024];

	if (port->full) {
		port->full = false;
		wait_again(port);
		vcon_output_ready(port->vcon, port->number);
		return;
	}
	/* It is not looked at: it tells that the program is gone. What it left there is the guest's until another comes. */
	if (port->waits) {
		make_way(port);
		port->gone = true;
		return;
	}
	ssize_t len = recv(port->stream.fd, data, sizeof(data), MSG_PEEK | MSG_DONTWAIT);
	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (len <= 0) {
		leave(port);
		return;
	}
	/* What the guest does not take stays in the socket. */
	size_t taken = vcon_receive(port->vcon, port->number, data, (size_t)len);
	if (taken)
		recv(port->stream.fd, data, taken, MSG_DONTWAIT);
	port->waits = taken < (size_t)len;
	wait_again(port);
}

static void arrival_ready(void *ctx)
{
	struct console_port *port = ctx;

	wake_take(port->arrival.fd);
	if (port->stream.fd >= 0)
		leave(port);
	port->stream.fd = atomic_exchange(&port->next, -1);
	if (port->stream.fd < 0)
		return;
	if (loop_add(port->loop, &port->stream) != 0)
		leave(port);
	else
		vcon_set_host_open(port->vcon, port->number, true);
}

int console_port_attach(struct console_port *port, int fd)
{
	bool taken = false;

	if (!atomic_compare_exchange_strong(&port->taken, &taken, true))
		return -EBUSY;
	atomic_store(&port->next, fd);
	wake_ring(port->arrival.fd);
	return 0;
}

ssize_t console_port_transmit(struct console_port *port, const uint8_t *data, size_t len)
{
	if (port->stream.fd < 0)
		return (ssize_t)len;
	ssize_t sent = send(port->stream.fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent >= 0)
		return sent;
	/* That it is gone is for the loop to see, behind what it left. */
	if (errno == EPIPE || errno == ECONNRESET)
		return (ssize_t)len;
	if (errno != EAGAIN && errno != EINTR) {
		leave(port);
		return (ssize_t)len;
	}
	port->full = true;
	wait_again(port);
	return -EAGAIN;
}

void console_port_resume(struct console_port *port)
{
	bool waited = port->waits;

	port->waits = false;
	if (port->gone && waited && loop_add(port->loop, &port->stream) != 0)
		leave(port);
	else if (port->stream.fd >= 0)
		wait_again(port);
}

int console_port_init(struct console_port *port, struct vcon *vcon, unsigned int number,
		      struct loop *loop)
{
	*port = (struct console_port){.vcon = vcon, .loop = loop, .number = number, .next = -1};
	port->stream = (struct loop_source){-1, stream_ready, port};
	port->arrival = (struct loop_source){wake_open(), arrival_ready, port};
	return port->arrival.fd < 0 ? port->arrival.fd : loop_add(loop, &port->arrival);
}

void console_port_release(struct console_port *port)
{
	const int fds[] = {port->stream.fd, port->arrival.fd, atomic_load(&port->next)};

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (port->vcon && fds[i] >= 0)
			close(fds[i]);
}
