// SPDX-License-Identifier: Apache-2.0
/* The ACPI tables: walked as a kernel walks them, the AML byte for byte against iasl's. */
#include <check.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/arch/arch.h"
#include "vmm/arch/x86_64/acpi.h"

#define BASE 0xe0000

static uint8_t tables[ACPI_SIZE_MAX];

static uint8_t sum(const uint8_t *at, size_t len)
{
	uint8_t total = 0;
	while (len--)
		total += *at++;
	return total;
}

static uint64_t get(const uint8_t *at, size_t len)
{
	uint64_t value = 0;
	memcpy(&value, at, len);
	return value;
}

/* The table at a guest address, its checksum looked at. */
static const uint8_t *table_at(uint64_t gpa, const char *signature)
{
	ck_assert_uint_ge(gpa, BASE);
	const uint8_t *table = tables + (gpa - BASE);
	ck_assert_mem_eq(table, signature, 4);
	ck_assert_uint_eq(sum(table, get(table + 4, 4)), 0);
	return table;
}

static const uint8_t *find(const char *signature)
{
	ck_assert_mem_eq(tables, "RSD PTR ", 8);
	ck_assert_uint_eq(sum(tables, 20), 0);
	ck_assert_uint_eq(sum(tables, 36), 0);
	const uint8_t *xsdt = table_at(get(tables + 24, 8), "XSDT");
	for (size_t at = 36; at < get(xsdt + 4, 4); at += 8) {
		uint64_t gpa = get(xsdt + at, 8);
		if (memcmp(tables + (gpa - BASE), signature, 4) == 0)
			return table_at(gpa, signature);
	}
	return NULL;
}

/* As many devices as there are lines for, as the machine places them. */
#define DEVICES 17

static size_t build(unsigned int cpus, unsigned int devices)
{
	struct arch_device device[64];
	for (unsigned int i = 0; i < devices; i++) {
		int gsi = arch_virtio_gsi(i);
		device[i] = (struct arch_device){arch_map.virtio_base + i * 0x1000ULL, 0x1000,
						 gsi < 0 ? 23 : (unsigned int)gsi};
	}
	const struct acpi_machine machine = {cpus, device, devices};
	return acpi_build(tables, BASE, &machine);
}

START_TEST(lines_are_the_io_apics_and_end)
{
	static const int want[DEVICES] = {5,  6,  7,  10, 11, 12, 13, 14, 15,
					  16, 17, 18, 19, 20, 21, 22, 23};
	for (unsigned int i = 0; i < DEVICES; i++)
		ck_assert_int_eq(arch_virtio_gsi(i), want[i]);
	ck_assert_int_eq(arch_virtio_gsi(DEVICES), -ENOSPC);
	ck_assert_int_eq(arch_virtio_gsi(UINT_MAX), -ENOSPC);
}
END_TEST

START_TEST(too_many_devices_are_told)
{
	ck_assert_uint_ne(build(254, DEVICES), 0);
	ck_assert_uint_eq(build(254, 64), 0);
}
END_TEST

START_TEST(madt_names_every_cpu)
{
	const unsigned int counts[] = {1, 2, 5, 254};
	for (unsigned int i = 0; i < 4; i++) {
		size_t size = build(counts[i], DEVICES);
		ck_assert_uint_le(size, ACPI_SIZE_MAX);
		ck_assert_uint_le(size, 0x20000);
		const uint8_t *madt = find("APIC");
		ck_assert_ptr_nonnull(madt);
		unsigned int cpus = 0, ioapics = 0;
		size_t end = get(madt + 4, 4), at = 44;
		for (; at < end; at += madt[at + 1]) {
			ck_assert_uint_ge(madt[at + 1], 6);
			if (madt[at] == 0) {
				ck_assert_uint_eq(madt[at + 3], cpus);
				ck_assert_uint_eq(madt[at + 4], 1);
				cpus++;
			}
			ioapics += madt[at] == 1;
		}
		ck_assert_uint_eq(at, end);
		ck_assert_uint_eq(cpus, counts[i]);
		ck_assert_uint_eq(ioapics, 1);
	}
}
END_TEST

START_TEST(fadt_has_its_offsets)
{
	build(1, DEVICES);
	const uint8_t *fadt = find("FACP");
	ck_assert_ptr_nonnull(fadt);
	/* ACPI 6.4 table 5.9. */
	ck_assert_uint_eq(get(fadt + 4, 4), 276);
	ck_assert_uint_eq(get(fadt + 46, 2), 9);
	ck_assert_uint_eq(get(fadt + 56, 4), 0x600);
	ck_assert_uint_eq(get(fadt + 64, 4), 0x604);
	ck_assert_uint_eq(get(fadt + 80, 4), 0x608); /* general events: 8 of them */
	ck_assert_uint_eq(fadt[92], 2);
	ck_assert_uint_eq(fadt[116], 1); /* reset register: a port, */
	ck_assert_uint_eq(get(fadt + 120, 8), 0x64);
	ck_assert_uint_eq(fadt[128], 0xfe);
	ck_assert_uint_ne(get(fadt + 112, 4) & 1 << 10, 0); /* … which is there */
	ck_assert_uint_eq(get(fadt + 112, 4) & 1 << 20, 0); /* not "hardware reduced" */
	ck_assert_uint_eq(get(fadt + 109, 2) & 2, 0);	    /* no keyboard controller */
	ck_assert_uint_eq(get(fadt + 109, 2) & 1 << 5, 0);  /* a clock, and its century: */
	ck_assert_uint_eq(fadt[108], 0x32);
	table_at(get(fadt + 40, 4), "DSDT");
	ck_assert_uint_eq(get(fadt + 140, 8), get(fadt + 40, 4));
}
END_TEST

START_TEST(tables_name_as_many_devices_as_there_are)
{
	size_t last = 0;
	for (unsigned int devices = 0; devices <= DEVICES; devices++) {
		ck_assert_uint_ne(build(1, devices), 0);
		size_t size = get(table_at(get(find("FACP") + 40, 4), "DSDT") + 4, 4);
		ck_assert_uint_gt(size, last);
		last = size;
	}
}
END_TEST

START_TEST(acpi_is_off_where_linux_takes_it_so)
{
	static const struct {
		const char *params;
		bool off;
	} cases[] = {
		{"", false},
		{"acpi=off", true},
		{"quiet  acpi=off root=/dev/vda", true},
		{"\tacpi=off\n", true},
		{"acpi=off acpi=force", false},
		{"acpi=force acpi=off", true},
		{"acpi=offline", false},
		{"noacpi=off", false},
		{"init=/bin/sh -- acpi=off", false},
		{"acpi=off -- acpi=force", true},
		{"--", false},
	};
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_msg(acpi_off(cases[i].params) == cases[i].off, "of '%s'",
			      cases[i].params);
}
END_TEST

START_TEST(aml_is_what_iasl_reads)
{
	build(1, DEVICES);
	const uint8_t *dsdt = table_at(get(find("FACP") + 40, 4), "DSDT");
	char dir[] = "/tmp/ebb-acpi-XXXXXX", command[256], text[32768] = "";
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(command, sizeof(command), "%s/dsdt.aml", dir);
	FILE *file = fopen(command, "w");
	ck_assert_ptr_nonnull(file);
	fwrite(dsdt, 1, get(dsdt + 4, 4), file);
	fclose(file);

	snprintf(command, sizeof(command),
		 "cd %s && iasl -d dsdt.aml >log 2>&1 && tr -s ' \\n' ' ' <dsdt.dsl && "
		 "iasl -ve dsdt.dsl >log 2>&1",
		 dir);
	FILE *pipe = popen(command, "r");
	ck_assert_ptr_nonnull(pipe);
	size_t size = fread(text, 1, sizeof(text) - 1, pipe);
	int status = pclose(pipe);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	ck_assert_int_eq(system(command), 0);

	ck_assert_int_eq(status, 0);
	ck_assert_uint_gt(size, 0);
	ck_assert_ptr_nonnull(strstr(text, "Name (_HID, \"QEMU0001\")"));
	ck_assert_ptr_nonnull(strstr(text, "IO (Decode16, 0x0505,"));
	ck_assert_ptr_nonnull(strstr(text, "Name (\\_S5, Package (0x04)"));
	ck_assert_ptr_nonnull(strstr(text, "{ 0x05, Zero, Zero, Zero }"));

	/* What tells a clone. */
	ck_assert_ptr_nonnull(strstr(text, "Device (VGEN) { Name (_HID, \"EBBV0001\")"));
	ck_assert_ptr_nonnull(strstr(text, "Name (_CID, \"VM_Gen_Counter\")"));
	ck_assert_ptr_nonnull(strstr(text, "Name (ADDR, Package (0x02)"));
	ck_assert_ptr_nonnull(strstr(text, "{ 0x000FFF00, Zero }"));
	ck_assert_ptr_nonnull(strstr(text, "Method (_E00, 0, NotSerialized)"));
	ck_assert_ptr_nonnull(strstr(text, "Notify (\\_SB.VGEN, 0x80)"));

	/* All devices, the tenth and its line among them. */
	ck_assert_ptr_nonnull(strstr(text, "Device (VR00)"));
	const char *tenth = strstr(text, "Device (VR09)");
	ck_assert_ptr_nonnull(tenth);
	const char *want[] = {"_HID, \"LNRO0005\")",
			      "_UID, 0x09)",
			      "Memory32Fixed (ReadWrite, 0xD0009000,",
			      "0x00001000,",
			      "Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive",
			      "0x00000010,"};
	for (unsigned int i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		tenth = strstr(tenth, want[i]);
		ck_assert_msg(tenth, "there is no %s in its place", want[i]);
	}
	ck_assert_ptr_nonnull(strstr(text, "Device (VR10)"));
}
END_TEST

Suite *acpi_suite(void);
Suite *acpi_suite(void)
{
	Suite *suite = suite_create("acpi");
	TCase *tcase = tcase_create("acpi");
	tcase_add_test(tcase, lines_are_the_io_apics_and_end);
	tcase_add_test(tcase, too_many_devices_are_told);
	tcase_add_test(tcase, madt_names_every_cpu);
	tcase_add_test(tcase, fadt_has_its_offsets);
	tcase_add_test(tcase, tables_name_as_many_devices_as_there_are);
	tcase_add_test(tcase, acpi_is_off_where_linux_takes_it_so);
	tcase_add_test(tcase, aml_is_what_iasl_reads);
	suite_add_tcase(suite, tcase);
	return suite;
}
