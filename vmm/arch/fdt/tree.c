// SPDX-License-Identifier: Apache-2.0
#include "vmm/arch/fdt/tree.h"

#include <errno.h>
#include <libfdt.h>
#include <stdio.h>
#include <string.h>

#include "vmm/arch/fdt/layout.h"
#include "vmm/arch/fdt/platform.h"

#define NAME_MAX_SIZE 64
#define UART_CLOCK                                                                                 \
	1843200	      /* Hz; nothing depends on it except the baud rate that the guest reports */
#define KEY_POWER 116 /* include/uapi/linux/input-event-codes.h */
#define CELLS_MAX 64

/* Returns true until a call has failed. */
static bool fine(const struct fdt_tree *tree)
{
	return tree->error == 0;
}

void fdt_node(struct fdt_tree *tree, const char *name)
{
	if (fine(tree))
		tree->error = fdt_begin_node(tree->data, name);
}

void fdt_node_at(struct fdt_tree *tree, const char *name, uint64_t address)
{
	char whole[NAME_MAX_SIZE];
	snprintf(whole, sizeof(whole), "%s@%llx", name, (unsigned long long)address);
	fdt_node(tree, whole);
}

void fdt_end(struct fdt_tree *tree)
{
	if (fine(tree))
		tree->error = fdt_end_node(tree->data);
}

void fdt_bytes(struct fdt_tree *tree, const char *name, const void *data, size_t size)
{
	if (fine(tree))
		tree->error = fdt_property(tree->data, name, data, (int)size);
}

void fdt_flag(struct fdt_tree *tree, const char *name)
{
	fdt_bytes(tree, name, NULL, 0);
}

void fdt_u32(struct fdt_tree *tree, const char *name, uint32_t value)
{
	fdt_cells(tree, name, &value, 1);
}

void fdt_u64(struct fdt_tree *tree, const char *name, uint64_t value)
{
	fdt64_t big = cpu_to_fdt64(value);
	fdt_bytes(tree, name, &big, sizeof(big));
}

void fdt_cells(struct fdt_tree *tree, const char *name, const uint32_t *cell, size_t cells)
{
	void *at = NULL;
	if (fine(tree))
		tree->error = fdt_property_placeholder(tree->data, name,
						       (int)(cells * sizeof(fdt32_t)), &at);
	for (size_t i = 0; fine(tree) && i < cells; i++)
		((fdt32_t *)at)[i] = cpu_to_fdt32(cell[i]);
}

void fdt_text(struct fdt_tree *tree, const char *name, const char *text)
{
	fdt_bytes(tree, name, text, strlen(text) + 1);
}

void fdt_reg(struct fdt_tree *tree, const struct gpa_range *range, size_t n)
{
	uint32_t cell[CELLS_MAX];
	if (n > CELLS_MAX / 4) {
		tree->error = tree->error ? tree->error : -FDT_ERR_BADVALUE;
		return;
	}
	for (size_t i = 0; i < n; i++) {
		cell[4 * i] = range[i].gpa >> 32;
		cell[4 * i + 1] = (uint32_t)range[i].gpa;
		cell[4 * i + 2] = range[i].len >> 32;
		cell[4 * i + 3] = (uint32_t)range[i].len;
	}
	fdt_cells(tree, "reg", cell, 4 * n);
}

static void write_interrupt(struct fdt_tree *tree, const struct fdt_arch *arch, unsigned int gsi,
			    bool edge)
{
	uint32_t cell[FDT_IRQ_CELLS_MAX];
	unsigned int cells = arch->irq(arch->ctx, gsi, edge, cell);
	/* Set it per node: riscv's per-CPU controllers would inherit it from the root, too. */
	fdt_u32(tree, "interrupt-parent", FDT_PHANDLE_IRQ);
	fdt_cells(tree, "interrupts", cell, cells);
}

static void write_memory(struct fdt_tree *tree, const struct ram *ram)
{
	struct gpa_range range[RAM_REGIONS_MAX];
	for (unsigned int i = 0; i < ram->regions; i++)
		range[i] = (struct gpa_range){ram->region[i].gpa, ram->region[i].size};
	fdt_node_at(tree, "memory", range[0].gpa);
	fdt_text(tree, "device_type", "memory");
	fdt_reg(tree, range, ram->regions);
	fdt_end(tree);
}

static void write_chosen(struct fdt_tree *tree, const struct fdt_machine *machine)
{
	char path[NAME_MAX_SIZE];
	uint64_t kaslr;

	snprintf(path, sizeof(path), "/serial@%x", FDT_SERIAL);
	fdt_node(tree, "chosen");
	fdt_text(tree, "bootargs", machine->params);
	fdt_text(tree, "stdout-path", path); /* earlycon's default, too */
	if (machine->initrd.len) {
		fdt_u64(tree, "linux,initrd-start", machine->initrd.gpa);
		fdt_u64(tree, "linux,initrd-end", machine->initrd.gpa + machine->initrd.len);
	}
	memcpy(&kaslr, machine->seed, sizeof(kaslr));
	fdt_u64(tree, "kaslr-seed", kaslr);
	fdt_bytes(tree, "rng-seed", machine->seed + sizeof(kaslr), FDT_SEED_SIZE - sizeof(kaslr));
	fdt_end(tree);

	fdt_node(tree, "aliases");
	fdt_text(tree, "serial0", path);
	fdt_end(tree);
}

static void write_serial(struct fdt_tree *tree, const struct fdt_arch *arch)
{
	const struct gpa_range place = {FDT_SERIAL, 8};
	fdt_node_at(tree, "serial", place.gpa);
	fdt_text(tree, "compatible", "ns16550a");
	fdt_reg(tree, &place, 1);
	fdt_u32(tree, "clock-frequency", UART_CLOCK);
	write_interrupt(tree, arch, FDT_GSI_SERIAL, false);
	fdt_end(tree);
}

/* A key that consists of an interrupt alone: an edge presses and releases it. */
static void write_power_button(struct fdt_tree *tree, const struct fdt_arch *arch)
{
	fdt_node(tree, "gpio-keys");
	fdt_text(tree, "compatible", "gpio-keys");
	fdt_node(tree, "power-button");
	fdt_text(tree, "label", "power");
	fdt_u32(tree, "linux,code", KEY_POWER);
	write_interrupt(tree, arch, FDT_GSI_POWER, true);
	fdt_end(tree);
	fdt_end(tree);
}

static void write_pvpanic(struct fdt_tree *tree)
{
	const struct gpa_range place = {FDT_PVPANIC, FDT_PVPANIC_SIZE};
	fdt_node_at(tree, "pvpanic", place.gpa);
	fdt_text(tree, "compatible", "qemu,pvpanic-mmio");
	fdt_reg(tree, &place, 1);
	fdt_end(tree);
}

static void write_virtio(struct fdt_tree *tree, const struct fdt_arch *arch,
			 const struct arch_device *device)
{
	const struct gpa_range place = {device->base, device->size};
	fdt_node_at(tree, "virtio_mmio", place.gpa);
	fdt_text(tree, "compatible", "virtio,mmio");
	fdt_reg(tree, &place, 1);
	fdt_flag(tree, "dma-coherent");
	write_interrupt(tree, arch, device->gsi, true);
	fdt_end(tree);
}

static void write_root(struct fdt_tree *tree, const struct fdt_machine *machine,
		       const struct fdt_arch *arch)
{
	fdt_node(tree, "");
	fdt_text(tree, "compatible", "linux,dummy-virt");
	fdt_text(tree, "model", "ebb");
	fdt_u32(tree, "#address-cells", 2);
	fdt_u32(tree, "#size-cells", 2);
	write_chosen(tree, machine);
	write_memory(tree, machine->ram);
	arch->nodes(tree, arch->ctx);
	write_serial(tree, arch);
	write_power_button(tree, arch);
	write_pvpanic(tree);
	for (unsigned int i = 0; i < machine->devices; i++)
		write_virtio(tree, arch, &machine->device[i]);
	fdt_end(tree);
}

int fdt_tree_build(void *data, const struct fdt_machine *machine, const struct fdt_arch *arch)
{
	struct fdt_tree tree = {.data = data};

	tree.error = fdt_create(data, (int)FDT_TREE_SIZE(machine->cpus));
	if (fine(&tree))
		tree.error = fdt_finish_reservemap(data);
	write_root(&tree, machine, arch);
	if (fine(&tree))
		tree.error = fdt_finish(data);
	if (!fine(&tree))
		return tree.error == -FDT_ERR_NOSPACE ? -ENOSPC : -EINVAL;
	return (int)fdt_totalsize(data);
}
