// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/device_console.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"
#include "vmm/lib/wake.h"
#include "vmm/machine/machine.h"

/*
 * While standard output takes nothing, the guest's output waits, but not for ever: Linux's driver spins until it gets its
 * buffer back, with interrupts off.
 */
#define PATIENCE_NS NS_PER_S

struct console_device {
	struct device device;
	struct vcon_host host;
	struct loop_source room;     /* standard output, while output waits for it */
	struct loop_source patience; /* a timer, likewise; -1: not yet made */
	bool waits;
	bool deaf; /* standard output took nothing for that long: what comes is dropped until it does */
	bool loss_told;
	struct console_port port[VM_PORTS_MAX]; /* that with number 1 first */
	struct vcon vcon;
};

static unsigned int console_count(const struct vm_config *config)
{
	return config->console.kind == VM_CONSOLE_VIRTIO || config->console.ports ? 1 : 0;
}

static struct loop *loop_of(struct console_device *console)
{
	return &console->device.slot.worker.loop;
}

/* --- output, on the worker ----------------------------------------------------------------------- */

static void wait_end(struct console_device *console, bool deaf)
{
	if (console->waits)
		loop_remove(loop_of(console), &console->room);
	console->waits = false;
	console->deaf = deaf;
	wake_timer_at(console->patience.fd, 0);
	vcon_output_ready(&console->vcon, 0);
}

static void room_ready(void *ctx)
{
	wait_end(ctx, false);
}

static void patience_ended(void *ctx)
{
	struct console_device *console = ctx;

	wake_take(console->patience.fd);
	if (!console->waits)
		return;
	if (!console->loss_told)
		log_warn("standard output takes nothing: the guest's output is lost until it does "
			 "(this is reported once)");
	console->loss_told = true;
	wait_end(console, true);
}

/* Returns whether output waits now: the loop calls room_ready() or patience_ended(). */
static bool wait_for_room(struct console_device *console)
{
	console->room.fd = console->device.machine->console.output.fd;
	if (console->deaf || loop_add(loop_of(console), &console->room) != 0)
		return false;
	loop_wait_for(loop_of(console), &console->room, true);
	console->waits = true;
	wake_timer_at(console->patience.fd, clock_ns() + PATIENCE_NS);
	return true;
}

static ssize_t transmit(void *ctx, unsigned int port, const uint8_t *data, size_t len)
{
	struct console_device *console = ctx;

	if (port > 0)
		return console_port_transmit(&console->port[port - 1], data, len);
	ssize_t written = console_try_write(&console->device.machine->console, data, len);

	if (written != -EAGAIN)
		console->deaf = false;
	else if (!wait_for_room(console))
		written = (ssize_t)len;
	return written;
}

/* ------------------------------------------------------------------------------------------------- */

static void receive_ready(void *ctx, unsigned int port)
{
	struct console_device *console = ctx;

	if (port > 0)
		console_port_resume(&console->port[port - 1]);
	else
		console_resume(&console->device.machine->console);
}

static int init_host(struct console_device *console, const struct vm_console *wanted)
{
	int error = console->patience.fd < 0 ? console->patience.fd
					     : loop_add(loop_of(console), &console->patience);

	for (unsigned int i = 0; i < wanted->ports && !error; i++)
		error = console_port_init(&console->port[i], &console->vcon, i + 1,
					  loop_of(console));
	if (error)
		log_error("cannot set up the guest's console: %s", strerror(-error));
	return error;
}

static int console_device_init(struct device *device, const struct vm_config *config)
{
	struct console_device *console = (struct console_device *)device;
	const struct vm_console *wanted = &config->console;
	struct vcon_config vcon = {.console = wanted->kind == VM_CONSOLE_VIRTIO,
				   .names = wanted->ports,
				   .host = &console->host};

	_Static_assert(VM_PORTS_MAX < VCON_PORTS_MAX && VM_PORT_MAX <= VCON_NAME_MAX, "they fit");
	memcpy(vcon.name, wanted->port, sizeof(wanted->port));
	console->host = (struct vcon_host){console, transmit, receive_ready};
	console->room = (struct loop_source){-1, room_ready, console};
	console->patience = (struct loop_source){wake_timer_open(), patience_ended, console};
	device->virtio = &console->vcon.dev;
	vcon_init(&console->vcon, &vcon, &device->slot.host);
	return init_host(console, wanted);
}

static void console_device_release(struct device *device)
{
	struct console_device *console = (struct console_device *)device;

	if (!device->virtio)
		return;
	if (console->patience.fd >= 0)
		close(console->patience.fd);
	for (unsigned int i = 0; i < VM_PORTS_MAX; i++)
		console_port_release(&console->port[i]);
	vcon_release(&console->vcon);
}

static void console_hold(struct device *device, bool held)
{
	vcon_hold(&((struct console_device *)device)->vcon, held);
}

const struct device_kind device_console = {
	.name = "console",
	.size = sizeof(struct console_device),
	.count = console_count,
	.init = console_device_init,
	.release = console_device_release,
	.hold = console_hold,
};

struct vcon *machine_vcon(const struct machine *machine)
{
	struct device *device = machine_find(machine, &device_console, 0);

	if (!device || machine->config->console.kind != VM_CONSOLE_VIRTIO)
		return NULL;
	return &((struct console_device *)device)->vcon;
}

struct console_port *machine_console_port(const struct machine *machine, const char *name)
{
	const struct vm_console *wanted = &machine->config->console;
	struct device *device = machine_find(machine, &device_console, 0);

	for (unsigned int i = 0; i < wanted->ports; i++)
		if (device && strcmp(wanted->port[i], name) == 0)
			return &((struct console_device *)device)->port[i];
	return NULL;
}
