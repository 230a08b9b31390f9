/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an initrd is loaded: right behind the kernel, or above 4 GiB if there is too little room
 * and the kernel allows it. An ELF kernel has no header to say so; Linux's 64-bit entry allows any
 * address.
 *
 * Pure. Source: Documentation/arch/x86/boot.rst, initrd_addr_max, XLF_CAN_BE_LOADED_ABOVE_4G and
 * ext_ramdisk_image.
 */
#ifndef EBB_ARCH_X86_64_INITRD_H
#define EBB_ARCH_X86_64_INITRD_H

#include "vmm/arch/x86_64/image.h"
#include "vmm/mem/ram.h"

/* Places @size bytes from the kernel's end @from on. Returns 0, or -ENOMEM if @ram has no room. */
int initrd_place(struct gpa_range *initrd, const struct image *image, const struct ram *ram,
		 uint64_t from, uint64_t size);

/* Returns the bytes of memory that a guest needs for this initrd, or 0 if it never fits. */
uint64_t initrd_memory(const struct image *image, uint64_t from, uint64_t size);

#endif
