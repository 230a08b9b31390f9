/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header of an "Image", the form in which Linux is started on arm64 and riscv64. Only the last
 * magic number in its 64 bytes tells the two apart.
 *
 * Pure. Sources: Documentation/arch/arm64/booting.rst, Documentation/arch/riscv/boot-image-header.rst
 * and boot.rst.
 */
#ifndef EBB_ARCH_FDT_IMAGE_H
#define EBB_ARCH_FDT_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/mem/ram.h"

#define FDT_IMAGE_HEADER 64

enum fdt_kind {
	FDT_ARM64,
	FDT_RISCV64,
};

struct fdt_image {
	uint64_t text_offset; /* from a multiple of 2 MiB */
	uint64_t size;	      /* bytes of memory that the kernel needs from its load address */
};

/*
 * Parses @head, the first @size bytes of an unpacked kernel (≤ FDT_IMAGE_HEADER). Returns NULL, or the end
 * of an error message that begins with the file's name ("is empty").
 */
const char *fdt_image_parse(struct fdt_image *image, enum fdt_kind arch, const uint8_t *head,
			    size_t size);

/*
 * Describes an arm64 kernel of @size bytes without a header, as kvmtool accepts it: at 0x80000, and with
 * 2 MiB behind it for data that is not in the file, such as its stack.
 */
struct fdt_image fdt_image_flat(uint64_t size);

/* Where the parts are loaded; a len of 0: there is none. */
struct fdt_places {
	struct gpa_range kernel;
	struct gpa_range tree;
	struct gpa_range initrd;
};

/*
 * Places the kernel as its header asks, the tree (of @tree bytes at most) and the initrd (of @initrd
 * bytes) behind it, all in @ram's first region. Returns 0, or -ENOMEM if that is too small: then
 * *places has the parts that fit.
 */
int fdt_image_place(struct fdt_places *places, const struct fdt_image *image, const struct ram *ram,
		    uint64_t tree, uint64_t initrd);

#endif
