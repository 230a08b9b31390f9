// SPDX-License-Identifier: Apache-2.0
/* What a kernel is handed: memory layout, e820, PVH start info, zero page, descriptors, page tables. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/arch/arch.h"
#include "vmm/arch/x86_64/boot.h"
#include "vmm/arch/x86_64/layout.h"

#define MIB 0x100000ULL
#define GIB 0x40000000ULL

static struct ram ram_of(uint64_t size)
{
	struct gpa_range span[RAM_REGIONS_MAX];
	struct ram ram = {.regions = arch_ram_layout(size, 46, span), .page_size = 4096};
	for (unsigned int i = 0; i < ram.regions; i++)
		ram.region[i] = (struct ram_region){span[i].gpa, span[i].len, NULL};
	return ram;
}

START_TEST(memory_goes_around_the_hole)
{
	struct gpa_range span[RAM_REGIONS_MAX];

	ck_assert_int_eq(arch_ram_layout(16 * MIB, 36, span), 1);
	ck_assert_uint_eq(span[0].len, 16 * MIB);
	ck_assert_int_eq(arch_ram_layout(3 * GIB, 36, span), 1);
	ck_assert_uint_eq(span[0].len, 3 * GIB);
	ck_assert_int_eq(arch_ram_layout(3 * GIB + MIB, 36, span), 2);
	ck_assert_uint_eq(span[0].len, 3 * GIB);
	ck_assert_uint_eq(span[1].gpa, 4 * GIB);
	ck_assert_uint_eq(span[1].len, MIB);
	/* 64 GiB of addresses hold 63 GiB of RAM. */
	ck_assert_int_eq(arch_ram_layout(63 * GIB, 36, span), 2);
	ck_assert_int_eq(arch_ram_layout(63 * GIB + MIB, 36, span), -E2BIG);
	ck_assert_int_eq(arch_ram_layout(UINT64_MAX, 52, span), -E2BIG);
}
END_TEST

START_TEST(e820_covers_all_memory_but_the_firmware)
{
	struct ram ram = ram_of(5 * GIB);
	struct boot_e820_entry map[RAM_REGIONS_MAX + 2];

	ck_assert_uint_eq(boot_memory_map(&ram, map), 4);
	const struct boot_e820_entry want[] = {
		{0, 0x9fc00, E820_RAM},
		{0x9fc00, MIB - 0x9fc00, E820_RESERVED},
		{MIB, 3 * GIB - MIB, E820_RAM},
		{4 * GIB, 2 * GIB, E820_RAM},
	};
	for (unsigned int i = 0; i < 4; i++)
		ck_assert_mem_eq(&map[i], &want[i], sizeof(want[i]));
}
END_TEST

START_TEST(pvh_start_info_has_its_bytes)
{
	struct ram ram = ram_of(512 * MIB);
	struct boot_layout layout = {.ram = &ram, .initrd = {0x1f000000, 12345}, .rsdp = 0xe0000};
	struct pvh_page page;

	/* The layout that guests know: arch/x86/include/public of Xen's interface, version 1. */
	ck_assert_uint_eq(sizeof(struct pvh_start_info), 56);
	ck_assert_uint_eq(sizeof(struct pvh_module), 32);
	ck_assert_uint_eq(sizeof(struct pvh_memory), 24);
	ck_assert_uint_le(sizeof(page), 4096);

	boot_fill_pvh(&page, &layout);
	const uint8_t *bytes = (const uint8_t *)&page;
	ck_assert_mem_eq(bytes, "\x78\xc5\x6e\x33\x01\0\0\0\0\0\0\0\x01\0\0\0", 16);
	ck_assert_uint_eq(page.info.module_list, LAYOUT_PVH_INFO + 56);
	ck_assert_uint_eq(page.info.command_line, LAYOUT_COMMAND_LINE);
	ck_assert_uint_eq(page.info.rsdp, 0xe0000);
	ck_assert_uint_eq(page.info.memory_map, LAYOUT_PVH_INFO + 56 + 32);
	ck_assert_uint_eq(page.info.memory_map_entries, 3);
	ck_assert_uint_eq(page.initrd.gpa, 0x1f000000);
	ck_assert_uint_eq(page.initrd.size, 12345);
	ck_assert_uint_eq(page.memory[2].gpa, MIB);
	ck_assert_uint_eq(page.memory[2].size, 511 * MIB);
	ck_assert_uint_eq(page.memory[2].type, E820_RAM);

	layout.initrd.len = 0;
	boot_fill_pvh(&page, &layout);
	ck_assert_uint_eq(page.info.modules, 0);
	ck_assert_uint_eq(page.info.module_list, 0);
}
END_TEST

START_TEST(zero_page_has_its_offsets)
{
	struct ram ram = ram_of(512 * MIB);
	struct boot_layout layout = {.ram = &ram, .initrd = {0x1f000000, 12345}, .rsdp = 0xe0000};
	struct setup_header header = {.boot_flag = 0xaa55, .header = 0x53726448, .version = 0x20f};
	struct boot_params params;
	const uint8_t *bytes = (const uint8_t *)&params;

	ck_assert_uint_eq(sizeof(params), 4096);
	boot_fill_params(&params, &header, &layout);
	/* Offsets of Documentation/arch/x86/boot.rst and zero-page.rst. */
	ck_assert_uint_eq(*(const uint64_t *)(bytes + 0x070), 0xe0000);
	ck_assert_uint_eq(bytes[0x1e8], 3);
	ck_assert_mem_eq(bytes + 0x1fe, "\x55\xaa", 2);
	ck_assert_mem_eq(bytes + 0x202, "HdrS", 4);
	ck_assert_uint_eq(bytes[0x210], 0xff);
	ck_assert_uint_eq(*(const uint32_t *)(bytes + 0x218), 0x1f000000);
	ck_assert_uint_eq(*(const uint32_t *)(bytes + 0x21c), 12345);
	ck_assert_uint_eq(*(const uint32_t *)(bytes + 0x228), LAYOUT_COMMAND_LINE);
	ck_assert_uint_eq(*(const uint64_t *)(bytes + 0x2d0 + 2 * 20), MIB);
}
END_TEST

START_TEST(page_tables_map_four_gib_one_to_one)
{
	const struct gpa_range span = {0, 2 * MIB};
	struct ram ram;
	ck_assert_int_eq(ram_init(&ram, &(struct ram_config)RAM_CONFIG_DEFAULT, &span, 1), 0);
	ck_assert_int_eq(boot_write_tables(&ram), 0);

	const uint64_t addresses[] = {0, 0x1234567, LAYOUT_HOLE, LAYOUT_LOCAL_APIC, 4 * GIB - 1};
	for (unsigned int i = 0; i < 5; i++) {
		uint64_t address = addresses[i], table = LAYOUT_PAGE_TABLES;
		for (int shift = 39; shift >= 21; shift -= 9) {
			uint64_t entry;
			ck_assert_int_eq(
				ram_read(&ram, table + (address >> shift & 511) * 8, &entry, 8), 0);
			ck_assert_uint_eq(entry & 3, 3);
			ck_assert_uint_eq(!!(entry & 0x80), shift == 21);
			table = entry & ~0xfffULL;
		}
		ck_assert_uint_eq(table, address & ~0x1fffffULL);
	}
	/* Code, data and TSS are where their selectors say, and are what the boot protocol wants. */
	uint64_t gdt[BOOT_GDT_SIZE / 8];
	ck_assert_int_eq(ram_read(&ram, LAYOUT_GDT, gdt, sizeof(gdt)), 0);
	ck_assert_uint_eq(gdt[BOOT_CS / 8] >> 53 & 1, 1); /* long mode */
	ck_assert_uint_eq(gdt[BOOT_CS / 8] >> 47 & 1, 1); /* present */
	ck_assert_uint_eq(gdt[BOOT_DS / 8] >> 40 & 0xf, 3);
	/* mov al, 0xfe; out 0x64, al, at f000:fff0. */
	uint8_t reset[4];
	ck_assert_int_eq(ram_read(&ram, 0xffff0, reset, sizeof(reset)), 0);
	ck_assert_mem_eq(reset, "\xb0\xfe\xe6\x64", 4);
	ram_release(&ram);
}
END_TEST

Suite *params_suite(void);
Suite *params_suite(void)
{
	Suite *suite = suite_create("params");
	TCase *tcase = tcase_create("params");
	tcase_add_test(tcase, memory_goes_around_the_hole);
	tcase_add_test(tcase, e820_covers_all_memory_but_the_firmware);
	tcase_add_test(tcase, pvh_start_info_has_its_bytes);
	tcase_add_test(tcase, zero_page_has_its_offsets);
	tcase_add_test(tcase, page_tables_map_four_gib_one_to_one);
	suite_add_tcase(suite, tcase);
	return suite;
}
