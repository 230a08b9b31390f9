// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/tree.h"

#include <check.h>
#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/arch/fdt/layout.h"

void *tree_of(uint64_t size, unsigned int cpus, const struct fdt_arch *arch)
{
	const struct ram ram = {.region = {{FDT_RAM, size, NULL}}, .regions = 1};
	static const uint8_t seed[FDT_SEED_SIZE] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
	static const struct arch_device devices[] = {
		{FDT_VIRTIO, 0x1000, FDT_GSI_VIRTIO},
		{FDT_VIRTIO + 0x1000, 0x1000, FDT_GSI_VIRTIO + 1}};
	const struct fdt_machine machine = {
		.ram = &ram,
		.initrd = {FDT_RAM + 0x2000000, 0x1234},
		.params = "console=ttyS0 earlycon",
		.seed = seed,
		.device = devices,
		.devices = 2,
		.cpus = cpus,
	};
	void *tree = malloc(FDT_TREE_SIZE(cpus));
	int got = fdt_tree_build(tree, &machine, arch);
	ck_assert_int_gt(got, 0);
	ck_assert_int_eq(fdt_check_full(tree, FDT_TREE_SIZE(cpus)), 0);
	ck_assert_uint_eq(fdt_totalsize(tree), got);
	return tree;
}

void tree_check(const void *tree)
{
	char file[] = "/tmp/ebb-tree-XXXXXX", command[128], said[4096];
	int fd = mkstemp(file);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, tree, fdt_totalsize(tree)), fdt_totalsize(tree));
	close(fd);
	snprintf(command, sizeof(command), "dtc -I dtb -O dts -o /dev/null %s 2>&1", file);
	FILE *dtc = popen(command, "r");
	ck_assert_ptr_nonnull(dtc);
	said[fread(said, 1, sizeof(said) - 1, dtc)] = '\0';
	int status = pclose(dtc);
	unlink(file);
	ck_assert_msg(status == 0 && !*said, "dtc (%d): %.1000s", status, said);
}

static const void *property(const void *tree, const char *path, const char *name, int *len)
{
	int node = fdt_path_offset(tree, path);
	ck_assert_msg(node >= 0, "there is no %s", path);
	const void *value = fdt_getprop(tree, node, name, len);
	ck_assert_msg(value, "%s has no %s", path, name);
	return value;
}

void tree_has_cells(const void *tree, const char *path, const char *name, unsigned int cells,
		    const uint32_t *want)
{
	int len;
	const fdt32_t *got = property(tree, path, name, &len);
	ck_assert_msg(len == (int)(cells * sizeof(*got)), "%s: %s has %d bytes", path, name, len);
	for (unsigned int i = 0; i < cells; i++)
		ck_assert_msg(fdt32_ld(&got[i]) == want[i], "%s: %s: cell %u is %#x", path, name, i,
			      fdt32_ld(&got[i]));
}

void tree_has_text(const void *tree, const char *path, const char *name, const char *want)
{
	int len;
	const char *got = property(tree, path, name, &len);
	ck_assert_msg(strcmp(got, want) == 0, "%s: %s is %s", path, name, got);
}
