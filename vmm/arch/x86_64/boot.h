/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two entry points of a Linux kernel for x86_64, and the data that each gets.
 *
 * BOOT_MODE_PVH: 32-bit protected mode at the address in the ELF note, ebx → struct pvh_start_info
 *   (Xen's docs/misc/pvh.pandoc; the guest's side is arch/x86/platform/pvh).
 * BOOT_MODE_LONG: 64-bit mode with the first 4 GiB mapped one to one, rsi → struct boot_params
 *   (Documentation/arch/x86/boot.rst, "64-bit Boot Protocol").
 */
#ifndef EBB_ARCH_X86_64_BOOT_H
#define EBB_ARCH_X86_64_BOOT_H

#include <asm/bootparam.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/mem/ram.h"

enum boot_mode {
	BOOT_MODE_PVH,
	BOOT_MODE_LONG,
};

#define BOOT_CS	      0x10
#define BOOT_DS	      0x18
#define BOOT_TSS      0x20
#define BOOT_GDT_SIZE 0x30 /* the 64-bit TSS descriptor takes two entries */

/* The limit of Linux's command line, for kernels without a bzImage header, which states it. */
#define BOOT_COMMAND_LINE_DEFAULT 2047

/* The PVH start info, version 1, and the data that it points to; little-endian. */
struct pvh_start_info {
	uint32_t magic;
	uint32_t version;
	uint32_t flags;
	uint32_t modules;
	uint64_t module_list;
	uint64_t command_line;
	uint64_t rsdp;
	uint64_t memory_map;
	uint32_t memory_map_entries;
	uint32_t reserved;
};

struct pvh_module {
	uint64_t gpa;
	uint64_t size;
	uint64_t command_line;
	uint64_t reserved;
};

struct pvh_memory {
	uint64_t gpa;
	uint64_t size;
	uint32_t type; /* as in e820 */
	uint32_t reserved;
};

#define PVH_MAGIC 0x336ec578

/* The contents of the start info's page. */
struct pvh_page {
	struct pvh_start_info info;
	struct pvh_module initrd;
	struct pvh_memory memory[RAM_REGIONS_MAX + 2];
};

/* The contents of the boot data. */
struct boot_layout {
	const struct ram *ram;
	struct gpa_range initrd; /* len 0: none */
	uint64_t rsdp;
};

#define E820_RAM      1
#define E820_RESERVED 2

/* Pure. Writes the e820 map of @ram. Returns the number of entries (≤ RAM_REGIONS_MAX + 2). */
unsigned int boot_memory_map(const struct ram *ram, struct boot_e820_entry *entry);

/* Pure. Fill in the start info's page and the zero page. */
void boot_fill_pvh(struct pvh_page *page, const struct boot_layout *layout);
void boot_fill_params(struct boot_params *params, const struct setup_header *header,
		      const struct boot_layout *layout);

/*
 * Writes the GDT, the page tables (4 GiB mapped one to one) and the firmware's reset vector.
 * Returns 0 or -errno.
 */
int boot_write_tables(const struct ram *ram);

#endif
