/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes the part of ACPI's machine language that describes devices: scopes, devices, constants,
 * resources.
 *
 * Pure. Leaves out data that has no room, and sets @full. Source: ACPI 6.4 §20.2 (AML), §6.4
 * (resources).
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
	bool full; /* some data had no room: the output is useless */
};

/*
 * Open a scope or a device; their result is for aml_close(), which ends it. A name has four
 * characters, after a backslash at the root.
 */
size_t aml_scope(struct aml *aml, const char *name);
size_t aml_device(struct aml *aml, const char *name);
/* Opens a method without arguments. */
size_t aml_method(struct aml *aml, const char *name);
/* Notify (\@scope.@device, @value), in a method. */
void aml_notify(struct aml *aml, const char *scope, const char *device, uint8_t value);
/* Opens Name (@name, ResourceTemplate () { … }), for the resources below. */
size_t aml_resources(struct aml *aml, const char *name);
void aml_resources_close(struct aml *aml, size_t open);
/* @open: the result of the function that opened it. */
void aml_close(struct aml *aml, size_t open);

/* Name (@name, @text) and Name (@name, @value). */
void aml_text(struct aml *aml, const char *name, const char *text);
void aml_integer(struct aml *aml, const char *name, uint32_t value);
/* Name (@name, Package () { … }) of @n numbers. */
void aml_package(struct aml *aml, const char *name, const uint32_t *value, uint8_t n);

void aml_io(struct aml *aml, uint16_t port, uint8_t ports);
void aml_memory(struct aml *aml, uint32_t gpa, uint32_t size);
/* An edge-triggered, unshared interrupt. */
void aml_interrupt(struct aml *aml, uint32_t gsi);

#endif
