// SPDX-License-Identifier: Apache-2.0
/* CPUID, fitted to each vCPU: ids and topology as Intel's and AMD's manuals have them. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/arch/x86_64/cpuid.h"

static struct cpuid_table table;

static void add(uint32_t function, uint32_t index, uint32_t eax, uint32_t ebx, uint32_t ecx,
		uint32_t edx)
{
	table.entry[table.head.nent++] =
		(struct kvm_cpuid_entry2){function, index, 0, eax, ebx, ecx, edx, {0}};
}

static void make(bool amd)
{
	memset(&table, 0, sizeof(table));
	if (amd)
		add(0, 0, 0x10, 0x68747541, 0x444d4163, 0x69746e65);
	else
		add(0, 0, 0x1f, 0x756e6547, 0x6c65746e, 0x49656e69);
	add(1, 0, 0x806f8, 0x07100800, 0x00000001, 0x1fabfbff);
	add(4, 0, 0x7c004121, 0, 63, 0);
	add(4, 3, 0x7c07c163, 0, 63, 0);
	add(0xb, 0, 1, 2, 0x100, 77);
	add(0x1f, 0, 1, 2, 0x100, 77);
	add(0x40000000, 0, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d);
	add(0x80000001, 0, 0, 0, 0, 0);
	add(0x80000008, 0, 0x3028, 0, amd ? 0x700f : 0, 0);
	add(0x8000001d, 3, 0x1c163, 0, 0, 0);
	add(0x8000001e, 0, 99, 0x0199, 0x0703, 0);
}

static const struct kvm_cpuid_entry2 *find(uint32_t function, uint32_t index)
{
	for (unsigned int i = 0; i < table.head.nent; i++)
		if (table.entry[i].function == function && table.entry[i].index == index)
			return &table.entry[i];
	ck_abort_msg("no leaf %#x/%u", function, index);
	return NULL;
}

START_TEST(ids_are_the_index)
{
	for (unsigned int index = 0; index < 6; index++) {
		make(true);
		cpuid_fit(&table, index, 6, true);
		ck_assert_uint_eq(find(1, 0)->ebx >> 24, index);
		ck_assert_uint_eq(find(0xb, 0)->edx, index);
		ck_assert_uint_eq(find(0xb, 1)->edx, index);
		ck_assert_uint_eq(find(0x1f, 1)->edx, index);
		ck_assert_uint_eq(find(0x8000001e, 0)->eax, index);
		ck_assert_uint_eq(find(0x8000001e, 0)->ebx & 0xffff, index);
		ck_assert_uint_eq(find(0x8000001e, 0)->ecx & 0x7ff, 0);
	}
}
END_TEST

START_TEST(topology_is_one_package_of_single_threads)
{
	make(false);
	cpuid_fit(&table, 3, 6, false);
	ck_assert_uint_eq(find(1, 0)->ebx >> 16 & 0xff, 6);
	ck_assert_uint_eq(find(1, 0)->ebx & 0xffff, 0x0800);
	ck_assert_uint_ne(find(1, 0)->edx & 1 << 28, 0);
	/* Six cores' ids take three bits. */
	ck_assert_uint_eq(find(0xb, 0)->eax, 0);
	ck_assert_uint_eq(find(0xb, 0)->ebx, 1);
	ck_assert_uint_eq(find(0xb, 0)->ecx, 0x100);
	ck_assert_uint_eq(find(0xb, 1)->eax, 3);
	ck_assert_uint_eq(find(0xb, 1)->ebx, 6);
	ck_assert_uint_eq(find(0xb, 1)->ecx, 0x201);
	ck_assert_uint_eq(find(0xb, 2)->ebx, 0);
	ck_assert_uint_eq(find(4, 0)->eax >> 26, 7);
	ck_assert_uint_eq(find(4, 0)->eax >> 14 & 0xfff, 0);
	ck_assert_uint_eq(find(4, 3)->eax >> 14 & 0xfff, 5);
	ck_assert_uint_eq(find(0x80000008, 0)->ecx, 0);
}
END_TEST

START_TEST(amd_counts_its_cores_elsewhere)
{
	make(true);
	cpuid_fit(&table, 0, 6, false);
	ck_assert_uint_eq(find(0x80000008, 0)->ecx, 0x3005);
	ck_assert_uint_ne(find(0x80000001, 0)->ecx & 2, 0);
	ck_assert_uint_eq(find(0x8000001d, 3)->eax >> 14 & 0xfff, 5);
	make(true);
	cpuid_fit(&table, 0, 1, false);
	ck_assert_uint_eq(find(0x80000008, 0)->ecx, 0);
	ck_assert_uint_eq(find(0x80000001, 0)->ecx & 2, 0);
	ck_assert_uint_eq(find(1, 0)->edx & 1 << 28, 0);
}
END_TEST

START_TEST(hypervisor_is_told_and_kept)
{
	make(false);
	cpuid_fit(&table, 0, 1, true);
	ck_assert_uint_eq(find(1, 0)->ecx, 0x81000001);
	ck_assert_uint_eq(find(0x40000000, 0)->ebx, 0x4b4d564b);
	make(false);
	cpuid_fit(&table, 0, 1, false);
	ck_assert_uint_eq(find(1, 0)->ecx, 0x80000001);
}
END_TEST

START_TEST(a_full_table_does_not_overflow)
{
	make(false);
	while (table.head.nent < CPUID_ENTRIES_MAX)
		add(0xd, table.head.nent, 0, 0, 0, 0);
	cpuid_fit(&table, 0, 2, true);
	ck_assert_uint_eq(table.head.nent, CPUID_ENTRIES_MAX);
}
END_TEST

Suite *cpuid_suite(void);
Suite *cpuid_suite(void)
{
	Suite *suite = suite_create("cpuid");
	TCase *tcase = tcase_create("cpuid");
	tcase_add_test(tcase, ids_are_the_index);
	tcase_add_test(tcase, topology_is_one_package_of_single_threads);
	tcase_add_test(tcase, amd_counts_its_cores_elsewhere);
	tcase_add_test(tcase, hypervisor_is_told_and_kept);
	tcase_add_test(tcase, a_full_table_does_not_overflow);
	suite_add_tcase(suite, tcase);
	return suite;
}
