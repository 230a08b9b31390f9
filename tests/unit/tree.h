/* SPDX-License-Identifier: Apache-2.0 */
/* A device tree as a guest finds it: read back with libfdt, judged by dtc. */
#ifndef EBB_TESTS_TREE_H
#define EBB_TESTS_TREE_H

#include <stdint.h>

#include "vmm/arch/fdt/tree.h"

/* The tree of a machine with @size bytes of RAM, @cpus processors and two devices; the caller frees it. */
void *tree_of(uint64_t size, unsigned int cpus, const struct fdt_arch *arch);

/* dtc, with all its checks, has nothing to say of it. */
void tree_check(const void *tree);

/* The property @name of the node at @path is these cells, or this text. */
void tree_has_cells(const void *tree, const char *path, const char *name, unsigned int cells,
		    const uint32_t *want);
void tree_has_text(const void *tree, const char *path, const char *name, const char *want);
#define TREE_CELLS(tree, path, name, ...)                                                          \
	tree_has_cells(tree, path, name, sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t),     \
		       (const uint32_t[]){__VA_ARGS__})

#endif
