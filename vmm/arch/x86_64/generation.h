/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The generation of a machine: 16 bytes in the guest's memory, which ACPI names, and which change when the guest goes on
 * from a snapshot. Its kernel then takes new random numbers, so that two clones do not have the same.
 *
 * Source: Microsoft's "Virtual Machine Generation ID", as Linux's drivers/virt/vmgenid.c reads it. Thread: main.
 */
#ifndef EBB_ARCH_X86_64_GENERATION_H
#define EBB_ARCH_X86_64_GENERATION_H

#include "vmm/mem/ram.h"

#define GENERATION_SIZE 16

/* Begins a new one. Returns 0, or -EAGAIN if the host has no random numbers yet. */
int generation_begin(const struct ram *ram);

#endif
