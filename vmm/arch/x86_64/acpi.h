/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ACPI tables: enough for a guest to find its CPUs, interrupt controllers and virtio devices, to power off,
 * to reset and to report its panic.
 *
 * A guest learns of each virtio device once. The tables name them: a kernel with ACPI, as distributions ship it,
 * needs no parameter. For a kernel without ACPI the user says acpi=off, Linux's own word; then the tables name
 * none, and virtio_mmio.device= on the command line does.
 * Source: ACPI 6.4 §5.2 (tables); Linux's drivers/virtio/virtio_mmio.c (LNRO0005) and
 * Documentation/admin-guide/kernel-parameters.txt (acpi=).
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
	const struct arch_device *
		device; /* those that the tables name, in the order that the guest is to find them in */
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
