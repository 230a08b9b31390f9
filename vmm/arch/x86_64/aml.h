/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes ACPI's machine language, the part that describes devices: scopes, devices, constants, resources.
 *
 * Pure. Leaves out what has no room, and sets @full. Source: ACPI 6.4 §20.2 (AML), §6.4 (resources).
 */
#ifndef EBB_ARCH_X86_64_AML_H
#define EBB_ARCH_X86_64_AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct aml {
	uint8_t *out; /* @capacity bytes, of which @size are written */
	size_t capacity;
	size_t size;
	bool full; /* something had no room: what was written is useless */
};

/*
 * Open a scope or a device, which aml_close() ends with what they return. A name has four characters, with a
 * backslash before them at the root.
 */
size_t aml_scope(struct aml *aml, const char *name);
size_t aml_device(struct aml *aml, const char *name);
/* Opens Name (@name, ResourceTemplate () { … }), which the resources below go into. */
size_t aml_resources(struct aml *aml, const char *name);
void aml_resources_close(struct aml *aml, size_t open);
/* @open: what opening it returned. */
void aml_close(struct aml *aml, size_t open);

/* Name (@name, @text) and Name (@name, @value). */
void aml_text(struct aml *aml, const char *name, const char *text);
void aml_integer(struct aml *aml, const char *name, uint32_t value);
/* Name (@name, Package () { … }) of @n ≤ 255 bytes. */
void aml_package(struct aml *aml, const char *name, const uint8_t *value, uint8_t n);

void aml_io(struct aml *aml, uint16_t port, uint8_t ports);
void aml_memory(struct aml *aml, uint32_t gpa, uint32_t size);
/* An edge-triggered interrupt that is not shared. */
void aml_interrupt(struct aml *aml, uint32_t gsi);

#endif
