/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ACPI tables: enough for a guest to find its CPUs, interrupt controllers and virtio devices,
 * to power off, to reset, to report a panic, and to learn that it was restored.
 *
 * A guest must find each virtio device once only. The tables name them: a kernel with ACPI, as
 * distributions ship it, needs no parameter. For a kernel without ACPI the user gives acpi=off, as
 * for Linux itself; then virtio_mmio.device= on the command line names the devices instead.
 * Source: ACPI 6.4 §5.2 (tables); Linux's drivers/virtio/virtio_mmio.c (LNRO0005) and
 * Documentation/admin-guide/kernel-parameters.txt (acpi=).
 */
#ifndef EBB_ARCH_X86_64_ACPI_H
#define EBB_ARCH_X86_64_ACPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/arch/arch.h"

#define ACPI_SIZE_MAX 8192 /* of all tables, with the most CPUs and devices that arch_map allows */

struct acpi_machine {
	unsigned int cpus;
	const struct arch_device *
		device; /* the devices that the tables name, in the order for guests to find them */
	unsigned int devices;
};

/* Pure. Returns true if a kernel with the user's @params does not read the tables. */
bool acpi_off(const char *params);

/*
 * Pure. Writes all tables of @machine into @out (ACPI_SIZE_MAX bytes), for guest address @gpa, with the
 * RSDP first. Returns their size, or 0 if they have no room for so many devices.
 */
size_t acpi_build(uint8_t *out, uint64_t gpa, const struct acpi_machine *machine);

#endif
