/* SPDX-License-Identifier: Apache-2.0 */
/* The host's folders that the guest sees, in the order of --fs. Thread: main. */
#ifndef EBB_MACHINE_DEVICE_FS_H
#define EBB_MACHINE_DEVICE_FS_H

#include "vmm/machine/device.h"

extern const struct device_kind device_fs;

#endif
