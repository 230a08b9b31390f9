// SPDX-License-Identifier: Apache-2.0
/* The Image's header, which anybody may have written, and where what it asks for is put. */
#include <check.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "vmm/arch/fdt/image.h"

#define MIB  0x100000ULL
#define GIB  0x40000000ULL
#define BASE 0x80000000ULL
#define TOP  UINT64_MAX

static const char arm64[] = "ARM\x64", riscv[] = "RSC\x05";

static void header(uint8_t *head, const char *magic, uint64_t offset, uint64_t size, uint64_t flags)
{
	const uint64_t words[] = {htole64(offset), htole64(size), htole64(flags)};
	memset(head, 0, FDT_IMAGE_HEADER);
	memcpy(head + 0x08, words, sizeof(words));
	memcpy(head + 0x38, magic, 4);
}

static const struct {
	const char *magic;
	enum fdt_kind arch;
	uint64_t offset, size, flags;
	const char *wrong; /* part of it, or NULL */
} headers[] = {
	{arm64, FDT_ARM64, 0, 32 * MIB, 0xa, NULL},
	{arm64, FDT_ARM64, 0x80000, 32 * MIB, 0x2, NULL},
	{riscv, FDT_RISCV64, 2 * MIB, 8 * MIB, 0, NULL},
	{arm64, FDT_ARM64, 0, FDT_IMAGE_HEADER, 0, NULL},
	{arm64, FDT_RISCV64, 0, 32 * MIB, 0, "kernel for arm64"},
	{riscv, FDT_ARM64, 0, 32 * MIB, 0, "kernel for riscv64"},
	{"ELF?", FDT_ARM64, 0, 32 * MIB, 0, "not a kernel"},
	{arm64, FDT_ARM64, 0, 0, 0, "too old"},
	{arm64, FDT_ARM64, 0, 32 * MIB, 1, "big-endian"},
	{riscv, FDT_RISCV64, 0, 32 * MIB, 1, "big-endian"},
	{arm64, FDT_ARM64, 0, FDT_IMAGE_HEADER - 1, 0, "damaged"},
	{arm64, FDT_ARM64, 0, TOP, 0, "damaged"},
	{arm64, FDT_ARM64, 0, TOP - BASE + 1, 0, "damaged"},
	{arm64, FDT_ARM64, TOP, 32 * MIB, 0, "damaged"},
	{arm64, FDT_ARM64, TOP - BASE + 1, 32 * MIB, 0, "damaged"},
	{riscv, FDT_RISCV64, TOP - 7, TOP, 0, "damaged"},
	{arm64, FDT_ARM64, 4, 32 * MIB, 0, "damaged"},
};

START_TEST(headers_are_checked)
{
	uint8_t head[FDT_IMAGE_HEADER];
	struct fdt_image image;

	header(head, headers[_i].magic, headers[_i].offset, headers[_i].size, headers[_i].flags);
	const char *wrong = fdt_image_parse(&image, headers[_i].arch, head, sizeof(head));
	if (headers[_i].wrong) {
		ck_assert_msg(wrong && strstr(wrong, headers[_i].wrong), "%s", wrong);
		return;
	}
	ck_assert_ptr_null(wrong);
	ck_assert_uint_eq(image.text_offset, headers[_i].offset);
	ck_assert_uint_eq(image.size, headers[_i].size);
}
END_TEST

START_TEST(other_files_are_told_apart)
{
	uint8_t head[FDT_IMAGE_HEADER] = {0};
	struct fdt_image image;

	ck_assert_str_eq(fdt_image_parse(&image, FDT_ARM64, head, 0), "is empty");
	for (size_t size = 1; size <= sizeof(head); size++)
		ck_assert_ptr_nonnull(
			strstr(fdt_image_parse(&image, FDT_ARM64, head, size), "not a kernel"));
	memcpy(head, "\177ELF", 4);
	ck_assert_ptr_nonnull(strstr(fdt_image_parse(&image, FDT_ARM64, head, 64), "ELF"));
	/* All bytes of a header cut off are not looked at. */
	header(head, arm64, 0, 32 * MIB, 0);
	for (size_t size = 0; size < sizeof(head); size++)
		ck_assert_ptr_nonnull(fdt_image_parse(&image, FDT_ARM64, head, size));
}
END_TEST

static struct ram ram_of(uint64_t size)
{
	return (struct ram){.region = {{BASE, size, NULL}}, .regions = 1, .page_size = 4096};
}

/* Apart, in order, within RAM, each at its alignment. */
static void check_places(const struct fdt_places *places, const struct ram *ram)
{
	const struct gpa_range *in_order[] = {&places->kernel, &places->tree, &places->initrd};
	uint64_t at = ram->region[0].gpa, end = at + ram->region[0].size;
	for (unsigned int i = 0; i < 3; i++) {
		ck_assert_uint_ge(in_order[i]->gpa, at);
		ck_assert_uint_le(in_order[i]->len, end - in_order[i]->gpa);
		ck_assert_uint_eq(in_order[i]->gpa % (i ? 0x10000 : 8), 0);
		at = in_order[i]->gpa + in_order[i]->len;
	}
}

START_TEST(places_follow_the_boot_protocol)
{
	struct fdt_image image = {.text_offset = 0x80000, .size = 20 * MIB + 5};
	struct ram ram = ram_of(128 * MIB);
	struct fdt_places places;

	ck_assert_int_eq(fdt_image_place(&places, &image, &ram, 0x10000, 3 * MIB + 1), 0);
	ck_assert_uint_eq(places.kernel.gpa, BASE + 0x80000);
	ck_assert_uint_eq(places.kernel.len, image.size);
	check_places(&places, &ram);
	/* arm64: one window of 32 GiB, on a multiple of 1 GiB, holds both. */
	ck_assert_uint_lt(places.initrd.gpa + places.initrd.len - BASE, 32 * GIB);
}
END_TEST

START_TEST(places_end_where_memory_does)
{
	struct fdt_image image = {.text_offset = 2 * MIB, .size = 8 * MIB};
	struct ram ram = ram_of(16 * MIB);
	struct fdt_places places;

	/* 2 MiB before it, 8 of kernel, 64 KiB of tree: the rest takes an initrd to the last byte. */
	uint64_t rest = 6 * MIB - 0x10000;
	ck_assert_int_eq(fdt_image_place(&places, &image, &ram, 0x10000, rest), 0);
	check_places(&places, &ram);
	ck_assert_int_eq(fdt_image_place(&places, &image, &ram, 0x10000, rest + 1), -ENOMEM);
	ck_assert_uint_ne(places.tree.len, 0);
	ck_assert_int_eq(fdt_image_place(&places, &image, &ram, 0x10000, TOP), -ENOMEM);
	ck_assert_int_eq(fdt_image_place(&places, &image, &ram, 6 * MIB + 1, 0), -ENOMEM);
	ck_assert_uint_eq(places.tree.len, 0);
	ck_assert_uint_ne(places.kernel.len, 0);
	image.size = 12 * MIB + 1; /* of which the last block is the kernel's alone */
	ck_assert_int_eq(fdt_image_place(&places, &image, &ram, 0x10000, 0), -ENOMEM);
	ck_assert_uint_ne(places.kernel.len, 0);
	image.size = 14 * MIB + 1;
	ck_assert_int_eq(fdt_image_place(&places, &image, &ram, 0x10000, 0), -ENOMEM);
	ck_assert_uint_eq(places.kernel.len, 0);
	/* The largest that the header's check lets through. */
	image = (struct fdt_image){1ULL << 40, 1ULL << 40};
	ck_assert_int_eq(fdt_image_place(&places, &image, &ram, 0x10000, TOP), -ENOMEM);
}
END_TEST

Suite *fdt_image_suite(void);
Suite *fdt_image_suite(void)
{
	Suite *suite = suite_create("fdt_image");
	TCase *tcase = tcase_create("fdt_image");
	tcase_add_loop_test(tcase, headers_are_checked, 0, sizeof(headers) / sizeof(headers[0]));
	tcase_add_test(tcase, other_files_are_told_apart);
	tcase_add_test(tcase, places_follow_the_boot_protocol);
	tcase_add_test(tcase, places_end_where_memory_does);
	suite_add_tcase(suite, tcase);
	return suite;
}
