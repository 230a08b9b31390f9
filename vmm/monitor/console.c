// SPDX-License-Identifier: Apache-2.0
/* The terminal's size, for a console that has one: `ebb console` tells that of the terminal it is on. */
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

static const struct control_command commands[] = {
	{"x-ebb-console-resize", resize},
	{NULL, NULL},
};

const struct monitor_part monitor_console = {
	.name = "console",
	.commands = commands,
};
