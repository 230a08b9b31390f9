// SPDX-License-Identifier: Apache-2.0
/*
 * arm64 and riscv64 kernels: an Image, plain or in gzip, loaded as ebb does. The first 4 bytes are flags and
 * the length of the file, which ends in zeros if the input is shorter.
 */
#include <string.h>

#include "tests/fuzz/boot.h"
#include "vmm/arch/fdt/boot.h"

#define RAM_GPA	 0x40000000U
#define RAM_SIZE (16U << 20)

static void nodes(struct fdt_tree *tree, void *ctx)
{
	(void)tree, (void)ctx;
}

static unsigned int irq(void *ctx, unsigned int gsi, bool edge, uint32_t *cell)
{
	(void)ctx, (void)edge;
	cell[0] = gsi;
	return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct fdt_arch arch = {.nodes = nodes, .irq = irq};
	struct arch_entry entry;
	struct ram ram = boot_ram(RAM_GPA, RAM_SIZE);
	uint32_t word;

	if (size < sizeof(word))
		return 0;
	memcpy(&word, data, sizeof(word));
	host_reset();
	boot_files(data + sizeof(word), size - sizeof(word), word >> 8, word & 1 ? 5000 : 0);
	struct boot_file kernel, initrd;
	boot_file_open(&kernel, "kernel", NULL, "kernel", 0);
	boot_file_open(&initrd, "initrd", NULL, "initrd", 0);
	const struct arch_boot boot = {.ram = &ram,
				       .kernel = &kernel,
				       .initrd = word & 2 ? &initrd : NULL,
				       .params = "quiet",
				       .nodefaults = word & 8};
	if (fdt_boot_load(&boot, 1, word & 4 ? FDT_RISCV64 : FDT_ARM64, &arch, &entry) == 0) {
		MUST(ram_at(&ram, entry.pc, 4) && entry.pc % 4 == 0);
		MUST(ram_at(&ram, entry.argument, FDT_TREE_SIZE(1)));
	}
	return 0;
}
