/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ACPI tables: enough for a guest to find its CPUs and interrupt controllers, to power off, to reset
 * and to report its panic. Devices are announced on the kernel's command line as long as their interrupt
 * lines are ones that a kernel knows without ACPI. If one device needs another line, all are described
 * here instead: a kernel finds ACPI's devices first, so a mix would change their order.
 * Source: ACPI 6.4 §5.2 (tables).
 */
#ifndef EBB_ARCH_X86_64_ACPI_H
#define EBB_ARCH_X86_64_ACPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/arch/arch.h"

#define ACPI_SIZE_MAX 8192 /* of all tables, for as many CPUs and devices as arch_map allows */

struct acpi_machine {
	unsigned int cpus;
	const struct arch_device *device;
	unsigned int devices;
};

/* Pure. Returns true if the tables describe all these devices, false if the command line does. */
bool acpi_names(const struct arch_device *device, unsigned int devices);

/*
 * Pure. Writes all tables of @machine into @out (ACPI_SIZE_MAX bytes), for guest address @gpa, with the
 * RSDP first. Returns their size, or 0 if they have no room for so many devices.
 */
size_t acpi_build(uint8_t *out, uint64_t gpa, const struct acpi_machine *machine);

#endif
