/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recognizes a kernel file by its content, and finds the parts to load and their places. Pure: uses
 * only the first bytes of the file.
 * Sources: System V ABI (ELF), Documentation/arch/x86/boot.rst (bzImage), Documentation/arch/arm64/
 * booting.rst and riscv/boot-image-header.rst (to recognize other architectures).
 */
#ifndef EBB_ARCH_X86_64_IMAGE_H
#define EBB_ARCH_X86_64_IMAGE_H

#include <asm/bootparam.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IMAGE_HEAD_SIZE	   4096 /* bytes of the file that are parsed */
#define IMAGE_SEGMENTS_MAX 16

/* A part of the file to load; memory beyond file_size is zero. */
struct image_segment {
	uint64_t offset;
	uint64_t file_size;
	uint64_t gpa;
	uint64_t memory_size;
};

struct image {
	bool is_bzimage;
	uint64_t entry; /* ELF: the 64-bit entry; bzImage: the same, relative to the load address */
	uint64_t note_offset, note_size; /* ELF: where a PVH note may be; size 0: there is none */
	struct image_segment segment[IMAGE_SEGMENTS_MAX];
	unsigned int segments;
	struct setup_header header; /* a bzImage's own, or one made for an ELF kernel */
};

/*
 * Parses @head, the first @head_size bytes (≤ IMAGE_HEAD_SIZE) of a file of @file_size bytes. Returns NULL,
 * or the end of an error message that begins with the file's name ("is empty").
 */
const char *image_parse(struct image *image, const uint8_t *head, size_t head_size,
			uint64_t file_size);

/* Returns the entry of the PVH note among @size bytes of ELF notes, or 0 if there is none. */
uint32_t image_pvh_entry(const uint8_t *notes, size_t size);

#endif
