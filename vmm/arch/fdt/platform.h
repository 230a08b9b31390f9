/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What machines with a device tree share besides it: where RAM lies, the device by which a guest reports
 * its panic, the power button. Power-off and reset are calls of the firmware, which KVM passes on as
 * KVM_EXIT_SYSTEM_EVENT.
 * Source: drivers/misc/pvpanic, drivers/input/keyboard/gpio_keys.c.
 */
#ifndef EBB_ARCH_FDT_PLATFORM_H
#define EBB_ARCH_FDT_PLATFORM_H

#include "vmm/arch/arch.h"

#define FDT_PVPANIC_SIZE 2 /* one byte of events; the kernel's other programs know two */

/* As arch_ram_layout(). */
int fdt_ram_layout(uint64_t size, unsigned int gpa_bits, struct gpa_range *span);

/* Returns how many bits of guest-physical address a machine with @memory bytes needs. */
unsigned int fdt_gpa_bits_needed(uint64_t memory);

#endif
