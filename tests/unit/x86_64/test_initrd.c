// SPDX-License-Identifier: Apache-2.0
/* Where an initrd goes, and how much memory helps where it does not fit. */
#include <check.h>
#include <errno.h>
#include <string.h>

#include "vmm/arch/arch.h"
#include "vmm/arch/x86_64/initrd.h"
#include "vmm/arch/x86_64/layout.h"

#define MIB 0x100000ULL
#define GIB 0x40000000ULL

#define FROM (64 * MIB)

static struct image elf, relocatable, fixed;

static void setup(void)
{
	memset(&elf, 0, sizeof(elf));
	relocatable = fixed = elf;
	relocatable.is_bzimage = fixed.is_bzimage = true;
	relocatable.header.initrd_addr_max = fixed.header.initrd_addr_max = 0x7fffffff;
	relocatable.header.xloadflags = XLF_KERNEL_64 | XLF_CAN_BE_LOADED_ABOVE_4G;
	fixed.header.xloadflags = XLF_KERNEL_64;
}

static struct ram ram_of(uint64_t size)
{
	struct gpa_range span[RAM_REGIONS_MAX];
	struct ram ram = {.regions = arch_ram_layout(size, 46, span), .page_size = 4096};
	for (unsigned int i = 0; i < ram.regions; i++)
		ram.region[i] = (struct ram_region){span[i].gpa, span[i].len, NULL};
	return ram;
}

/* Where it is placed, or 0. */
static uint64_t place(const struct image *image, uint64_t memory, uint64_t size)
{
	const struct ram ram = ram_of(memory);
	struct gpa_range initrd = {0, 0};
	int error = initrd_place(&initrd, image, &ram, FROM, size);
	ck_assert_int_eq(error, initrd.len ? 0 : -ENOMEM);
	ck_assert_uint_eq(initrd.len, initrd.gpa ? size : 0);
	return initrd.gpa;
}

START_TEST(behind_the_kernel_as_long_as_there_is_room)
{
	ck_assert_uint_eq(place(&elf, 128 * MIB, 64 * MIB), FROM);
	ck_assert_uint_eq(place(&fixed, 128 * MIB, 64 * MIB), FROM);
	ck_assert_uint_eq(place(&elf, 128 * MIB, 64 * MIB + 1), 0);
	/* Two GiB are the limit of a kernel that says so, the hole is that of others. */
	ck_assert_uint_eq(place(&fixed, 6 * GIB, 2 * GIB - FROM), FROM);
	ck_assert_uint_eq(place(&fixed, 6 * GIB, 2 * GIB - FROM + 1), 0);
	ck_assert_uint_eq(place(&relocatable, 6 * GIB, 2300 * MIB), FROM);
	ck_assert_uint_eq(place(&elf, 6 * GIB, 3 * GIB - FROM), FROM);
}
END_TEST

START_TEST(above_4_gib_where_the_kernel_takes_it)
{
	ck_assert_uint_eq(place(&elf, 6 * GIB, 3 * GIB - FROM + 1), 4 * GIB);
	ck_assert_uint_eq(place(&relocatable, 8 * GIB, 5 * GIB), 4 * GIB);
	ck_assert_uint_eq(place(&relocatable, 8 * GIB, 5 * GIB + 1), 0);
	ck_assert_uint_eq(place(&relocatable, 3 * GIB, 3 * GIB), 0);
	ck_assert_uint_eq(place(&relocatable, 64 * GIB, UINT64_MAX), 0);
}
END_TEST

START_TEST(the_advice_cures)
{
	static const uint64_t sizes[] = {1,	     64 * MIB, 2 * GIB - FROM,
					 2300 * MIB, 3 * GIB,  40 * GIB};
	const struct image *const images[] = {&elf, &relocatable, &fixed};
	for (unsigned int i = 0; i < 3; i++)
		for (unsigned int j = 0; j < sizeof(sizes) / sizeof(sizes[0]); j++) {
			uint64_t memory = initrd_memory(images[i], FROM, sizes[j]);
			if (memory) {
				ck_assert_uint_ne(place(images[i], memory, sizes[j]), 0);
				ck_assert_uint_eq(place(images[i], memory - 1, sizes[j]), 0);
			} else {
				ck_assert_ptr_eq(images[i], &fixed);
				ck_assert_uint_eq(place(images[i], 64 * GIB, sizes[j]), 0);
			}
		}
	ck_assert_uint_eq(initrd_memory(&elf, FROM, UINT64_MAX), 0);
}
END_TEST

Suite *initrd_suite(void);
Suite *initrd_suite(void)
{
	Suite *suite = suite_create("initrd");
	TCase *tcase = tcase_create("initrd");
	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_add_test(tcase, behind_the_kernel_as_long_as_there_is_room);
	tcase_add_test(tcase, above_4_gib_where_the_kernel_takes_it);
	tcase_add_test(tcase, the_advice_cures);
	suite_add_tcase(suite, tcase);
	return suite;
}
