// SPDX-License-Identifier: Apache-2.0
/*
 * x86_64 kernels: vmlinux, bzImage, PVH notes, loaded as ebb does. The first 4 bytes are flags and the length
 * of the file, which ends in zeros if the input is shorter.
 */
#include <string.h>

#include "tests/fuzz/boot.h"
#include "vmm/arch/x86_64/image.h"

#define RAM_SIZE (16U << 20)

/* The parser alone, with all that it may be given. */
static void parse(const uint8_t *bytes, size_t size, uint64_t file_size)
{
	static struct image image;
	size_t head = size < IMAGE_HEAD_SIZE ? size : IMAGE_HEAD_SIZE;

	if (image_parse(&image, bytes, head, file_size))
		return;
	MUST(image.segments > 0 && image.segments <= IMAGE_SEGMENTS_MAX);
	MUST(image.note_size <= file_size && image.note_offset <= file_size - image.note_size);
	for (unsigned int i = 0; i < image.segments; i++) {
		const struct image_segment *segment = &image.segment[i];
		MUST(segment->file_size <= segment->memory_size);
		MUST(segment->file_size <= file_size &&
		     segment->offset <= file_size - segment->file_size);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct arch_device device[] = {{0xd0000000, 0x1000, 5}};
	const struct arch_platform platform = {.cpus = 1};
	struct arch_entry entry;
	struct ram ram = boot_ram(0, RAM_SIZE);
	uint32_t word;

	if (size < sizeof(word))
		return 0;
	memcpy(&word, data, sizeof(word));
	data += sizeof(word);
	size -= sizeof(word);
	host_reset();
	boot_files(data, size, word >> 8, word & 1 ? 5000 : 0);
	struct boot_file kernel, initrd;
	boot_file_open(&kernel, "kernel", NULL, "kernel", 0);
	boot_file_open(&initrd, "initrd", NULL, "initrd", 0);
	const struct arch_boot boot = {.ram = &ram,
				       .kernel = &kernel,
				       .initrd = word & 2 ? &initrd : NULL,
				       .params = word & 4 ? "acpi=off" : "quiet",
				       .nodefaults = word & 8,
				       .device = device,
				       .devices = 1};
	parse(data, size, boot_file_length());
	image_pvh_entry(data, size);
	arch_boot_load(&platform, &boot, &entry);
	return 0;
}
