/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ACPI tables: just enough for a guest to find its CPUs and interrupt controllers, to power off,
 * to reset, and to say that it panicked. Devices are announced on the kernel's command line.
 * Source: ACPI 6.4 §5.2 (tables), §20 (AML).
 */
#ifndef EBB_ARCH_X86_64_ACPI_H
#define EBB_ARCH_X86_64_ACPI_H

#include <stddef.h>
#include <stdint.h>

#define ACPI_SIZE_MAX 8192 /* of all tables, for as many CPUs as arch_map.cpus_max */

/*
 * Pure. Writes all tables for @cpus CPUs into @out (ACPI_SIZE_MAX bytes), to lie at guest address
 * @gpa with the RSDP first. Returns their size.
 */
size_t acpi_build(uint8_t *out, uint64_t gpa, unsigned int cpus);

#endif
