/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EBB_MACHINE_DEVICE_RNG_H
#define EBB_MACHINE_DEVICE_RNG_H

#include "vmm/machine/device.h"

extern const struct device_kind device_rng;

#endif
