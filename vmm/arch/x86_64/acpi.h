/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ACPI tables: just enough for a guest to find its CPUs and interrupt controllers, to power off,
 * to reset, to say that it panicked. Devices are announced on the kernel's command line as long as there
 * are interrupt lines that a kernel knows by itself; where one of them needs a line beyond, all are
 * described here instead: a kernel finds those that ACPI names first, and a mix would lose their order.
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

/* Pure. Whether these devices are described in the tables, all of them, or on the command line. */
bool acpi_names(const struct arch_device *device, unsigned int devices);

/*
 * Pure. Writes all tables of @machine into @out (ACPI_SIZE_MAX bytes), to lie at guest address @gpa
 * with the RSDP first. Returns their size, or 0 where the devices are more than they have room for.
 */
size_t acpi_build(uint8_t *out, uint64_t gpa, const struct acpi_machine *machine);

#endif
