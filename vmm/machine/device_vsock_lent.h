/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's socket device, if the host's kernel serves it. Thread: main. */
#ifndef EBB_MACHINE_DEVICE_VSOCK_LENT_H
#define EBB_MACHINE_DEVICE_VSOCK_LENT_H

#include "vmm/machine/device.h"

extern const struct device_kind device_vsock_lent;

#endif
