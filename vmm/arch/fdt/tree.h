/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device tree, which describes the machine to the guest. This file writes the nodes that all
 * architectures share; each architecture writes its processors, its interrupt controller and its
 * firmware with the functions below.
 *
 * Pure. Sources: the Devicetree Specification 0.4; Documentation/devicetree/bindings of Linux for
 * chosen, virtio/mmio, serial/8250, input/gpio-keys, misc/pvpanic-mmio.
 */
#ifndef EBB_ARCH_FDT_TREE_H
#define EBB_ARCH_FDT_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/arch/arch.h"

/* Bytes that suffice for the tree of @cpus processors; each takes less than 2 KiB. */
#define FDT_TREE_SIZE(cpus) (((cpus) + 32) * 2048UL)

#define FDT_PHANDLE_IRQ	   1 /* the controller of the devices' interrupts */
#define FDT_PHANDLE_MSI	   2
#define FDT_PHANDLE_CLOCK  3
#define FDT_PHANDLE_CPU(i) (16 + (i))

#define FDT_IRQ_CELLS_MAX 3

/* A tree that is being written. The first failure is kept in @error; later calls do nothing. */
struct fdt_tree {
	void *data;
	int error; /* 0, or libfdt's error */
};

/* The part that an architecture adds. */
struct fdt_arch {
	void *ctx;
	/* Writes /cpus, its interrupt controller (FDT_PHANDLE_IRQ), its timer and firmware. */
	void (*nodes)(struct fdt_tree *tree, void *ctx);
	/* Writes the "interrupts" cells of a device on line @gsi. Returns their number. */
	unsigned int (*irq)(void *ctx, unsigned int gsi, bool edge, uint32_t *cell);
};

#define FDT_SEED_SIZE 64

struct fdt_machine {
	const struct ram *ram;
	struct gpa_range initrd; /* len 0: none */
	const char *params;	 /* the kernel's whole command line */
	const uint8_t *seed;	 /* FDT_SEED_SIZE random bytes */
	const struct arch_device *device;
	unsigned int devices;
	unsigned int cpus;
};

/*
 * Writes the tree into @data, FDT_TREE_SIZE(machine->cpus) bytes. Returns its size, -ENOSPC if
 * @data is too small, or -EINVAL if the architecture's nodes are invalid.
 */
int fdt_tree_build(void *data, const struct fdt_machine *machine, const struct fdt_arch *arch);

/* For the architecture's nodes: begin a node, write its properties, then its children, end it. */
void fdt_node(struct fdt_tree *tree, const char *name);
/* The node's name is @name@@address. */
void fdt_node_at(struct fdt_tree *tree, const char *name, uint64_t address);
void fdt_end(struct fdt_tree *tree);

void fdt_flag(struct fdt_tree *tree, const char *name);
void fdt_u32(struct fdt_tree *tree, const char *name, uint32_t value);
void fdt_u64(struct fdt_tree *tree, const char *name, uint64_t value);
void fdt_cells(struct fdt_tree *tree, const char *name, const uint32_t *cell, size_t cells);
void fdt_text(struct fdt_tree *tree, const char *name, const char *text);
/* Writes @size bytes unchanged: a list of strings, each with its terminating zero. */
void fdt_bytes(struct fdt_tree *tree, const char *name, const void *data, size_t size);
/* Writes "reg" with @n ranges. */
void fdt_reg(struct fdt_tree *tree, const struct gpa_range *range, size_t n);

#endif
