/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts that all machines with a device tree share: where RAM lies, the device through which a
 * guest reports a panic, the power button. Power-off and reset are firmware calls, which KVM passes
 * on as KVM_EXIT_SYSTEM_EVENT.
 * Source: drivers/misc/pvpanic, drivers/input/keyboard/gpio_keys.c.
 */
#ifndef EBB_ARCH_FDT_PLATFORM_H
#define EBB_ARCH_FDT_PLATFORM_H

#include "vmm/arch/arch.h"

#define FDT_PVPANIC_SIZE 2 /* bytes, as in other VMMs; the first is the events register */

/* As arch_ram_layout(). */
int fdt_ram_layout(uint64_t size, unsigned int gpa_bits, struct gpa_range *span);

/* Returns the number of guest-physical address bits that a machine with @memory bytes needs. */
unsigned int fdt_gpa_bits_needed(uint64_t memory);

#endif
