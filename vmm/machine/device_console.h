/* SPDX-License-Identifier: Apache-2.0 */
/* The virtio console device, for --console virtio. */
#ifndef EBB_MACHINE_DEVICE_CONSOLE_H
#define EBB_MACHINE_DEVICE_CONSOLE_H

#include "devices/virtio-console/vcon.h"
#include "vmm/machine/device.h"

extern const struct device_kind device_console;

/* Returns the machine's, or NULL if its console is another. */
struct vcon *machine_vcon(const struct machine *machine);

#endif
