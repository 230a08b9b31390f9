/* SPDX-License-Identifier: Apache-2.0 */
/* The virtio console device, for --console virtio and --port. */
#ifndef EBB_MACHINE_DEVICE_CONSOLE_H
#define EBB_MACHINE_DEVICE_CONSOLE_H

#include "devices/virtio-console/vcon.h"
#include "vmm/machine/console_port.h"
#include "vmm/machine/device.h"

extern const struct device_kind device_console;

/* Returns the machine's console, or NULL if that is not virtio. */
struct vcon *machine_vcon(const struct machine *machine);
/* Returns the port of this name, or NULL. */
struct console_port *machine_console_port(const struct machine *machine, const char *name);

#endif
