// SPDX-License-Identifier: Apache-2.0
/*
 * The terminal's size, for a console that has one: `ebb console` tells that of the terminal it is on. And the host's ends of
 * named ports, which come as sockets.
 */
#include <unistd.h>

#include "vmm/machine/device_console.h"
#include "vmm/machine/machine.h"
#include "vmm/monitor/part.h"

/* Returns the integer argument @name, or -1 with *@error set if it is none that a terminal can have. */
static int take_size(const json_t *arguments, const char *name, struct control_error *error)
{
	const json_t *value = monitor_integer(arguments, name, error);

	if (!value)
		return -1;
	if (json_integer_value(value) >= 0 && json_integer_value(value) <= UINT16_MAX)
		return (int)json_integer_value(value);
	control_fail(error, "Parameter '%s' expects a number from 0 to %d", name, UINT16_MAX);
	return -1;
}

static json_t *resize(void *ctx, const json_t *arguments, struct control_error *error)
{
	const struct monitor *monitor = ctx;
	struct vcon *vcon = machine_vcon(monitor->machine);
	int columns = take_size(arguments, "columns", error);
	int rows = columns < 0 ? -1 : take_size(arguments, "rows", error);

	if (rows < 0)
		return NULL;
	if (!vcon)
		return control_fail_as(error, "DeviceNotFound",
				       "the guest's console has no size: it was started without "
				       "--console virtio");
	vcon_resize(vcon, (uint16_t)columns, (uint16_t)rows);
	return json_object();
}

/* Returns whether it took @socket; else @error is set. */
static bool attach_socket(const struct monitor *monitor, const char *name, int socket,
			  struct control_error *error)
{
	struct console_port *port = machine_console_port(monitor->machine, name);

	if (!port)
		control_fail_as(error, "DeviceNotFound",
				"the guest was started without --port %.100s", name);
	else if (socket < 0)
		control_fail(error, "a socket must come with the command (SCM_RIGHTS)");
	else if (console_port_attach(port, socket) != 0)
		control_fail_as(error, "GuestBusy", "another program is at the port %s", name);
	else
		return true;
	return false;
}

static json_t *attach(void *ctx, const json_t *arguments, struct control_error *error)
{
	const struct monitor *monitor = ctx;
	const char *name = json_string_value(json_object_get(arguments, "port"));
	int socket = control_server_take_descriptor(monitor->server);
	bool taken = false;

	if (name)
		taken = attach_socket(monitor, name, socket, error);
	else
		control_fail(error, "Parameter 'port' must be a name");
	if (!taken && socket >= 0)
		close(socket);
	return taken ? json_object() : NULL;
}

static const struct control_command commands[] = {
	{"x-ebb-console-attach", CONTROL_ACTS, attach},
	{"x-ebb-console-resize", CONTROL_ACTS, resize},
	{},
};

const struct monitor_part monitor_console = {
	.name = "console",
	.commands = commands,
};
