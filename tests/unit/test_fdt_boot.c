// SPDX-License-Identifier: Apache-2.0
/* Kernels from files, plain and packed, whole and broken; and the tree that is written for them. */
#include <check.h>
#include <errno.h>
#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "tests/unit/memory.h"
#include "tests/unit/said.h"
#include "vmm/arch/fdt/boot.h"
#include "vmm/arch/fdt/layout.h"

#define MIB   0x100000ULL
#define CPUS  2
#define IMAGE (3 * MIB)

static struct ram ram;
static char folder[] = "/tmp/ebb-fdt-XXXXXX";
static char kernel[64], initrd[64], dtb[64];
static uint8_t image[IMAGE];
static const char *said;

static void write_file(const char *path, const void *data, size_t size)
{
	FILE *file = fopen(path, "we");
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(data, 1, size, file), size);
	ck_assert_int_eq(fclose(file), 0);
}

static size_t pack(const void *data, size_t size, uint8_t **packed)
{
	z_stream stream = {0};
	*packed = malloc(size + 65536);
	ck_assert_int_eq(
		deflateInit2(&stream, 1, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
	stream.next_in = (uint8_t *)data;
	stream.avail_in = size;
	stream.next_out = *packed;
	stream.avail_out = size + 65536;
	ck_assert_int_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
	deflateEnd(&stream);
	return stream.total_out;
}

static void setup(void)
{
	const struct gpa_range span = {FDT_RAM, 16 * MIB};
	const struct ram_config config = RAM_CONFIG_DEFAULT;
	const uint64_t size = 4 * MIB, offset = 0x80000;

	strcpy(folder + strlen(folder) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(kernel, sizeof(kernel), "%s/kernel", folder);
	snprintf(initrd, sizeof(initrd), "%s/initrd", folder);
	snprintf(dtb, sizeof(dtb), "%s/dtb", folder);
	for (size_t i = 0; i < IMAGE; i++)
		image[i] = (uint8_t)(i * 2654435761U >> 24);
	memset(image, 0, FDT_IMAGE_HEADER);
	memcpy(image + 0x08, &offset, 8);
	memcpy(image + 0x10, &size, 8);
	memcpy(image + 0x38, "ARM\x64", 4);
	write_file(kernel, image, IMAGE);
	write_file(initrd, "070701 and so on", 16);
	ck_assert_int_eq(ram_init(&ram, &config, &span, 1), 0);
}

static void teardown(void)
{
	ram_release(&ram);
	unlink(kernel);
	unlink(initrd);
	unlink(dtb);
	ck_assert_int_eq(rmdir(folder), 0);
}

static void no_nodes(struct fdt_tree *tree, void *ctx)
{
	(void)tree, (void)ctx;
}

static unsigned int one_cell(void *ctx, unsigned int gsi, bool edge, uint32_t *cell)
{
	(void)ctx, (void)edge;
	*cell = gsi;
	return 1;
}

/* The files of the next load(); initrd_path: NULL: none. */
static const char *kernel_path, *initrd_path;

static int open_and_load(struct arch_boot boot, struct arch_entry *entry)
{
	const struct fdt_arch arch = {NULL, no_nodes, one_cell};
	struct boot_file files[2] = {{.fd = -1}, {.fd = -1}};
	int error = boot_file_open(&files[0], kernel_path, NULL, "kernel", ram_size(&ram));

	if (!error && initrd_path)
		error = boot_file_open(&files[1], initrd_path, NULL, "initrd", ram_size(&ram));
	boot.kernel = &files[0];
	boot.initrd = initrd_path ? &files[1] : NULL;
	if (!error)
		error = fdt_boot_load(&boot, CPUS, FDT_ARM64, &arch, entry);
	boot_file_close(&files[0]);
	boot_file_close(&files[1]);
	return error;
}

/* Loads; what it said is in `said`. */
static int load(const struct arch_boot *boot, struct arch_entry *entry)
{
	said_begin();
	int error = open_and_load(*boot, entry);
	said = said_end();
	return error;
}

static struct arch_boot boot_of(void)
{
	kernel_path = kernel;
	initrd_path = NULL;
	return (struct arch_boot){.ram = &ram, .params = "quiet"};
}

static void check_loaded(const struct arch_entry *entry)
{
	ck_assert_uint_eq(entry->pc, FDT_RAM + 0x80000);
	const uint8_t *at = ram_at(&ram, entry->pc, 4 * MIB);
	ck_assert_mem_eq(at, image, IMAGE);
	ck_assert(memory_is(at + IMAGE, 4 * MIB - IMAGE, 0));
}

START_TEST(plain_and_packed_are_the_same)
{
	struct arch_boot boot = boot_of();
	struct arch_entry entry;
	uint8_t *packed;

	ck_assert_int_eq(load(&boot, &entry), 0);
	check_loaded(&entry);
	memset(ram_at(&ram, FDT_RAM, 16 * MIB), 0, 16 * MIB);
	size_t size = pack(image, IMAGE, &packed);
	write_file(kernel, packed, size);
	free(packed);
	ck_assert_int_eq(load(&boot, &entry), 0);
	check_loaded(&entry);
}
END_TEST

START_TEST(a_bomb_fills_no_more_than_its_header_says)
{
	struct arch_boot boot = boot_of();
	struct arch_entry entry;
	uint8_t *packed, *bomb = malloc(64 * MIB);

	memset(bomb, 0x5a, 64 * MIB);
	memcpy(bomb, image, FDT_IMAGE_HEADER);
	size_t size = pack(bomb, 64 * MIB, &packed);
	write_file(kernel, packed, size);
	free(packed);
	free(bomb);
	ck_assert_uint_lt(size, MIB);
	ck_assert_int_eq(load(&boot, &entry), 0);
	const uint8_t *at = ram_at(&ram, FDT_RAM, 16 * MIB);
	ck_assert_uint_eq(at[0x80000 + 4 * MIB - 1], 0x5a);
	/* The tree has random bytes in it. */
	uint64_t tree = entry.argument - FDT_RAM;
	for (size_t i = 0; i < 16 * MIB; i++)
		if ((i < 0x80000 || i >= 0x80000 + 4 * MIB) && i - tree >= FDT_TREE_SIZE(CPUS) &&
		    at[i] == 0x5a)
			ck_abort_msg("byte %zu is the bomb's", i);
}
END_TEST

START_TEST(broken_packing_is_told)
{
	struct arch_boot boot = boot_of();
	struct arch_entry entry;
	uint8_t *packed;
	size_t size = pack(image, IMAGE, &packed);

	write_file(kernel, packed, size / 2);
	ck_assert_int_eq(load(&boot, &entry), -EINVAL);
	ck_assert_ptr_nonnull(strstr(said, "ends too early"));
	write_file(kernel, packed, 4);
	ck_assert_int_eq(load(&boot, &entry), -EINVAL);
	memset(packed + size / 2, 0xff, 64);
	write_file(kernel, packed, size);
	ck_assert_int_eq(load(&boot, &entry), -EINVAL);
	ck_assert_ptr_nonnull(strstr(said, "is damaged"));
	ck_assert_ptr_eq(strchr(said, '\n') + 1, strchr(said, '\0'));
	free(packed);
}
END_TEST

START_TEST(mistakes_are_told_in_a_line)
{
	struct arch_entry entry;
	struct {
		const char *kernel, *initrd, *params, *says;
		int error;
	} cases[] = {
		{"/nowhere", NULL, "", "cannot open the kernel", -ENOENT},
		{folder, NULL, "", "neither a regular file nor a pipe", -EINVAL},
		{initrd, NULL, "", "is not a kernel", -ENOEXEC},
		{"/dev/null", NULL, "", "neither a regular file nor a pipe", -EINVAL},
		{kernel, "/nowhere", "", "cannot open the initrd", -ENOENT},
		{kernel, NULL, NULL, "command line is too long", -E2BIG},
	};
	char *params = calloc(1, 4096);
	memset(params, 'x', 4095);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct arch_boot boot = boot_of();
		kernel_path = cases[i].kernel;
		initrd_path = cases[i].initrd;
		boot.params = cases[i].params ? cases[i].params : params;
		int error = load(&boot, &entry);
		ck_assert_msg(error == cases[i].error && strstr(said, cases[i].says), "%zu: %d %s",
			      i, error, said);
		ck_assert_ptr_eq(strchr(said, '\n') + 1, strchr(said, '\0'));
	}
	free(params);

	/* 12 MiB of it: 4 are the kernel's, half a MiB lies before. */
	struct arch_boot boot = boot_of();
	initrd_path = initrd;
	ck_assert_int_eq(truncate(initrd, 12 * MIB), 0);
	ck_assert_int_eq(load(&boot, &entry), -ENOMEM);
	ck_assert_ptr_nonnull(strstr(said, "(12 MiB) does not fit behind the kernel in 16 MiB"));
	ck_assert_int_eq(truncate(initrd, 0), 0);
	ck_assert_int_eq(load(&boot, &entry), -EINVAL);
	ck_assert_ptr_nonnull(strstr(said, "is empty"));
}
END_TEST

START_TEST(a_flat_image_is_one_for_who_asks)
{
	struct arch_boot boot = boot_of();
	struct arch_entry entry;
	int len;

	memset(image, 0x5a, FDT_IMAGE_HEADER);
	write_file(kernel, image, 1000);
	ck_assert_int_eq(load(&boot, &entry), -ENOEXEC);
	boot.nodefaults = true;
	ck_assert_int_eq(load(&boot, &entry), 0);
	ck_assert_uint_eq(entry.pc, FDT_RAM + 0x80000);
	ck_assert_mem_eq(ram_at(&ram, entry.pc, 1000), image, 1000);
	ck_assert_uint_ge(entry.argument, entry.pc + 1000 + 2 * MIB);
	/* Its arguments are its user's alone. */
	const void *tree = ram_at(&ram, entry.argument, FDT_TREE_SIZE(CPUS));
	int chosen = fdt_path_offset(tree, "/chosen");
	ck_assert_str_eq(fdt_getprop(tree, chosen, "bootargs", &len), "quiet");

	/* What is known to be something else is still told. */
	memcpy(image, "\177ELF", 4);
	write_file(kernel, image, 1000);
	ck_assert_int_eq(load(&boot, &entry), -ENOEXEC);
	ck_assert_ptr_nonnull(strstr(said, "ELF"));
	memcpy(image, "\x28\xb5\x2f\xfd", 4);
	write_file(kernel, image, 1000);
	ck_assert_int_eq(load(&boot, &entry), -ENOEXEC);
	ck_assert_ptr_nonnull(strstr(said, "zstd -dc"));
}
END_TEST

START_TEST(the_tree_tells_of_all)
{
	struct arch_boot boot = boot_of();
	struct arch_entry entry;
	int len;

	initrd_path = initrd;
	boot.dump_dtb = dtb;
	ck_assert_int_eq(load(&boot, &entry), 0);
	const void *tree = ram_at(&ram, entry.argument, FDT_TREE_SIZE(CPUS));
	ck_assert_int_eq(fdt_check_full(tree, FDT_TREE_SIZE(CPUS)), 0);
	int chosen = fdt_path_offset(tree, "/chosen");
	ck_assert_str_eq(fdt_getprop(tree, chosen, "bootargs", &len),
			 "console=ttyS0 panic=-1 quiet");
	const fdt64_t *start = fdt_getprop(tree, chosen, "linux,initrd-start", &len);
	const fdt64_t *end = fdt_getprop(tree, chosen, "linux,initrd-end", &len);
	ck_assert_uint_eq(fdt64_ld(end) - fdt64_ld(start), 16);
	ck_assert_mem_eq(ram_at(&ram, fdt64_ld(start), 16), "070701 and so on", 16);
	/* What was dumped is what the guest has. */
	uint8_t dumped[65536];
	FILE *file = fopen(dtb, "re");
	ck_assert_ptr_nonnull(file);
	size_t size = fread(dumped, 1, sizeof(dumped), file);
	fclose(file);
	ck_assert_uint_eq(size, fdt_totalsize(tree));
	ck_assert_mem_eq(dumped, tree, size);

	boot.dump_dtb = folder;
	ck_assert_int_lt(load(&boot, &entry), 0);
	ck_assert_ptr_nonnull(strstr(said, "cannot write the device tree"));
}
END_TEST

Suite *fdt_boot_suite(void);
Suite *fdt_boot_suite(void)
{
	Suite *suite = suite_create("fdt_boot");
	TCase *tcase = tcase_create("fdt_boot");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, plain_and_packed_are_the_same);
	tcase_add_test(tcase, a_bomb_fills_no_more_than_its_header_says);
	tcase_add_test(tcase, broken_packing_is_told);
	tcase_add_test(tcase, mistakes_are_told_in_a_line);
	tcase_add_test(tcase, a_flat_image_is_one_for_who_asks);
	tcase_add_test(tcase, the_tree_tells_of_all);
	suite_add_tcase(suite, tcase);
	return suite;
}
