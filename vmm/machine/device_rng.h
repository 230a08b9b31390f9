/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's source of random numbers. Thread: main. */
#ifndef EBB_MACHINE_DEVICE_RNG_H
#define EBB_MACHINE_DEVICE_RNG_H

#include "vmm/machine/device.h"

extern const struct device_kind device_rng;

#endif
