/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's socket device. Thread: main. */
#ifndef EBB_MACHINE_DEVICE_VSOCK_H
#define EBB_MACHINE_DEVICE_VSOCK_H

#include "vmm/machine/device.h"

extern const struct device_kind device_vsock;

#endif
