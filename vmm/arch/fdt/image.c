// SPDX-License-Identifier: Apache-2.0
#include "vmm/arch/fdt/image.h"

#include <elf.h>
#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define TEXT_OFFSET 0x08
#define IMAGE_SIZE  0x10
#define FLAGS	    0x18
#define MAGIC	    0x38

#define ARM64_MAGIC 0x644d5241 /* "ARM\x64" */
#define RISCV_MAGIC 0x05435352 /* "RSC\x05" */

#define FLAG_BIG_ENDIAN 1

#define FLAT_TEXT_OFFSET 0x80000
#define FLAT_EXTRA	 0x200000

#define ALIGN 0x200000ULL /* of the kernel: a block in both architectures' page tables */
/* Of the tree and the initrd: the largest page size of a guest, which frees only whole pages. */
#define PAGE_ALIGN 0x10000ULL

/* Larger than any kernel; sums of sizes below it cannot wrap. */
#define SIZE_LIMIT (1ULL << 40)

static uint64_t get64(const uint8_t *at)
{
	uint64_t value;
	memcpy(&value, at, sizeof(value));
	return le64toh(value);
}

static uint32_t get32(const uint8_t *at)
{
	uint32_t value;
	memcpy(&value, at, sizeof(value));
	return le32toh(value);
}

static const char *not_an_image(const uint8_t *head, size_t size)
{
	if (size >= SELFMAG && memcmp(head, ELFMAG, SELFMAG) == 0)
		return "is an ELF file: give the kernel's Image instead";
	return "is not a kernel: give an Image, which may be compressed with gzip";
}

const char *fdt_image_parse(struct fdt_image *image, enum fdt_kind arch, const uint8_t *head,
			    size_t size)
{
	memset(image, 0, sizeof(*image));
	if (size == 0)
		return "is empty";
	if (size < FDT_IMAGE_HEADER)
		return not_an_image(head, size);

	uint32_t magic = get32(head + MAGIC);
	if (magic == ARM64_MAGIC && arch != FDT_ARM64)
		return "is a kernel for arm64: this host runs riscv64 guests";
	if (magic == RISCV_MAGIC && arch != FDT_RISCV64)
		return "is a kernel for riscv64: this host runs arm64 guests";
	if (magic != ARM64_MAGIC && magic != RISCV_MAGIC)
		return not_an_image(head, size);

	image->text_offset = get64(head + TEXT_OFFSET);
	image->size = get64(head + IMAGE_SIZE);
	if (image->size == 0)
		return "is too old a kernel: its header does not say how much memory it needs";
	if (get64(head + FLAGS) & FLAG_BIG_ENDIAN)
		return "is a big-endian kernel: ebb runs little-endian ones";
	if (image->size < size || image->size > SIZE_LIMIT || image->text_offset > SIZE_LIMIT ||
	    image->text_offset % 8)
		return "is damaged: the sizes in its header are impossible";
	return NULL;
}

struct fdt_image fdt_image_flat(uint64_t size)
{
	return (struct fdt_image){FLAT_TEXT_OFFSET, size + FLAT_EXTRA};
}

static uint64_t align_up(uint64_t value, uint64_t alignment)
{
	return (value + alignment - 1) & ~(alignment - 1);
}

/* Puts @len bytes at the next page of *@at, below @end. Returns whether they fit. */
static bool put(struct gpa_range *range, uint64_t *at, uint64_t end, uint64_t len)
{
	uint64_t gpa = align_up(*at, PAGE_ALIGN);
	if (gpa > end || len > end - gpa)
		return false;
	*range = (struct gpa_range){gpa, len};
	*at = gpa + len;
	return true;
}

int fdt_image_place(struct fdt_places *places, const struct fdt_image *image, const struct ram *ram,
		    uint64_t tree, uint64_t initrd)
{
	const struct ram_region *region = &ram->region[0];
	uint64_t end = region->gpa + region->size;
	uint64_t at = align_up(region->gpa, ALIGN) + image->text_offset;

	memset(places, 0, sizeof(*places));
	if (at > end || image->size > end - at)
		return -ENOMEM;
	places->kernel = (struct gpa_range){at, image->size};
	/* A riscv64 kernel keeps the rest of its last block to itself. */
	at = align_up(at + image->size, ALIGN);
	/* Close by: arm64 needs the initrd in the kernel's 32 GiB; fewer huge pages are touched. */
	if (!put(&places->tree, &at, end, tree))
		return -ENOMEM;
	return initrd == 0 || put(&places->initrd, &at, end, initrd) ? 0 : -ENOMEM;
}
