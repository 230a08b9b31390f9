/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's balloon. Thread: main. */
#ifndef EBB_MACHINE_DEVICE_BALLOON_H
#define EBB_MACHINE_DEVICE_BALLOON_H

#include "devices/virtio-balloon/balloon.h"
#include "vmm/machine/device.h"

extern const struct device_kind device_balloon;

/* Returns the machine's balloon, or NULL if it was started without one. */
struct balloon *machine_balloon(const struct machine *machine);

#endif
