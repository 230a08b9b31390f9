/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that the architectures' platforms share. Thread: main, while the machine is built. */
#ifndef EBB_ARCH_PLATFORM_H
#define EBB_ARCH_PLATFORM_H

#include "vmm/arch/arch.h"

/* Allocates platform->state, @size bytes of zeros. Returns 0, or -ENOMEM after an error message. */
int platform_state_new(struct arch_platform *platform, size_t size);

/*
 * Puts the device through which a Linux guest reports a panic (drivers/misc/pvpanic) on @bus at
 * @base: @size bytes, the first of which is its register. Returns 0 or -errno.
 */
int platform_pvpanic(struct arch_platform *platform, struct bus *bus, uint64_t base, uint64_t size);

/* Refuses the options that only arm64 has. Returns 0, or -EOPNOTSUPP after an error message. */
int platform_no_choices(const struct arch_platform *platform);

#endif
