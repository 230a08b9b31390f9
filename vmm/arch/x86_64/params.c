// SPDX-License-Identifier: Apache-2.0
/* The data for a kernel's entry: memory map, start info or zero page, descriptors, page tables. */
#include <errno.h>
#include <string.h>

#include "vmm/arch/x86_64/boot.h"
#include "vmm/arch/x86_64/layout.h"

#define LOADER_UNDEFINED 0xff /* type_of_loader of a loader without an assigned number */

#define PAGE_PRESENT_WRITABLE 0x3
#define PAGE_HUGE	      0x80
#define PAGE_SIZE_SMALL	      0x1000
#define PAGE_SIZE_HUGE	      0x200000
#define PAGE_TABLE_ENTRIES    512
#define MAPPED_GIB	      4

unsigned int boot_memory_map(const struct ram *ram, struct boot_e820_entry *entry)
{
	unsigned int entries = 0;

	entry[entries++] = (struct boot_e820_entry){0, LAYOUT_LOW_END, E820_RAM};
	entry[entries++] = (struct boot_e820_entry){LAYOUT_LOW_END, LAYOUT_HIGH - LAYOUT_LOW_END,
						    E820_RESERVED};
	for (unsigned int i = 0; i < ram->regions; i++) {
		struct gpa_range range = {ram->region[i].gpa, ram->region[i].size};
		if (range.gpa < LAYOUT_HIGH) {
			range.len -= LAYOUT_HIGH - range.gpa;
			range.gpa = LAYOUT_HIGH;
		}
		entry[entries++] = (struct boot_e820_entry){range.gpa, range.len, E820_RAM};
	}
	return entries;
}

void boot_fill_pvh(struct pvh_page *page, const struct boot_layout *layout)
{
	struct boot_e820_entry map[RAM_REGIONS_MAX + 2];
	unsigned int entries = boot_memory_map(layout->ram, map);

	*page = (struct pvh_page){
		.info =
			{
				.magic = PVH_MAGIC,
				.version = 1,
				.command_line = LAYOUT_COMMAND_LINE,
				.rsdp = layout->rsdp,
				.memory_map = LAYOUT_PVH_INFO + offsetof(struct pvh_page, memory),
				.memory_map_entries = entries,
			},
	};
	if (layout->initrd.len) {
		page->info.modules = 1;
		page->info.module_list = LAYOUT_PVH_INFO + offsetof(struct pvh_page, initrd);
		page->initrd.gpa = layout->initrd.gpa;
		page->initrd.size = layout->initrd.len;
	}
	for (unsigned int i = 0; i < entries; i++)
		page->memory[i] = (struct pvh_memory){map[i].addr, map[i].size, map[i].type, 0};
}

void boot_fill_params(struct boot_params *params, const struct setup_header *header,
		      const struct boot_layout *layout)
{
	memset(params, 0, sizeof(*params));
	params->hdr = *header;
	params->hdr.type_of_loader = LOADER_UNDEFINED;
	params->hdr.cmd_line_ptr = LAYOUT_COMMAND_LINE;
	params->hdr.ramdisk_image = (uint32_t)layout->initrd.gpa;
	params->hdr.ramdisk_size = (uint32_t)layout->initrd.len;
	params->ext_ramdisk_image = layout->initrd.gpa >> 32;
	params->ext_ramdisk_size = layout->initrd.len >> 32;
	params->acpi_rsdp_addr = layout->rsdp;
	params->e820_entries = boot_memory_map(layout->ram, params->e820_table);
}

/* A kernel that resets through the firmware (Linux's reboot=bios) jumps here in real mode. */
static const uint8_t reset_code[] = {
	0xb0, I8042_RESET,	 /* mov al, 0xfe */
	0xe6, PORT_I8042_STATUS, /* out 0x64, al */
	0xf4,			 /* hlt */
	0xeb, 0xfd,		 /* jmp to the hlt */
};

int boot_write_tables(const struct ram *ram)
{
	const uint64_t gdt[BOOT_GDT_SIZE / 8] = {
		[BOOT_CS / 8] = 0x00af9b000000ffff, /* 64-bit code */
		[BOOT_DS / 8] = 0x00cf93000000ffff, /* flat data */
		[BOOT_TSS / 8] = 0x00008b0000000067,
	};
	int error = ram_write(ram, LAYOUT_GDT, gdt, sizeof(gdt));
	if (!error)
		error = ram_write(ram, LAYOUT_RESET_VECTOR, reset_code, sizeof(reset_code));
	if (error)
		return error;

	/* One page each: the top level, the next, and a page of 2 MiB entries for every GiB. */
	uint64_t *table = ram_at(ram, LAYOUT_PAGE_TABLES, (2 + MAPPED_GIB) * PAGE_SIZE_SMALL);
	if (!table)
		return -EFAULT;
	uint64_t *directory = table + PAGE_TABLE_ENTRIES;
	uint64_t *huge = directory + PAGE_TABLE_ENTRIES;
	table[0] = (LAYOUT_PAGE_TABLES + PAGE_SIZE_SMALL) | PAGE_PRESENT_WRITABLE;
	for (unsigned int i = 0; i < MAPPED_GIB; i++)
		directory[i] =
			(LAYOUT_PAGE_TABLES + (2 + i) * PAGE_SIZE_SMALL) | PAGE_PRESENT_WRITABLE;
	for (uint64_t i = 0; i < MAPPED_GIB * PAGE_TABLE_ENTRIES; i++)
		huge[i] = i * PAGE_SIZE_HUGE | PAGE_PRESENT_WRITABLE | PAGE_HUGE;
	return 0;
}
