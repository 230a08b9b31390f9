/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an initrd goes: right behind the kernel, or, where that is too little and the kernel can take it
 * from there, above 4 GiB. An ELF kernel has no header that tells; Linux's 64-bit entry takes it from
 * anywhere.
 *
 * Pure. Source: Documentation/arch/x86/boot.rst, initrd_addr_max, XLF_CAN_BE_LOADED_ABOVE_4G and
 * ext_ramdisk_image.
 */
#ifndef EBB_ARCH_X86_64_INITRD_H
#define EBB_ARCH_X86_64_INITRD_H

#include "vmm/arch/x86_64/image.h"
#include "vmm/mem/ram.h"

/* Places @size bytes, @from where the kernel ends. Returns 0, or -ENOMEM where there is no room in @ram. */
int initrd_place(struct gpa_range *initrd, const struct image *image, const struct ram *ram,
		 uint64_t from, uint64_t size);

/* How much memory a guest must have for that to fit, in bytes; 0: no memory is enough. */
uint64_t initrd_memory(const struct image *image, uint64_t from, uint64_t size);

#endif
