// SPDX-License-Identifier: Apache-2.0
#include "vmm/arch/x86_64/image.h"

#include <elf.h>
#include <string.h>

#define BZIMAGE_HEADER	   0x1f1 /* offset of the setup header in the file and in the zero page */
#define BZIMAGE_BOOT_FLAG  0xaa55
#define BZIMAGE_MAGIC	   0x53726448 /* "HdrS" */
#define BZIMAGE_PROTOCOL   0x020c     /* the first with xloadflags */
#define BZIMAGE_SECTOR	   512
#define BZIMAGE_ENTRY_64   0x200
#define BZIMAGE_HEADER_END 0x202 /* plus the byte at 0x201 */

#define OTHER_MAGIC_OFFSET 0x38 /* in an Image of arm64 or riscv64 */
#define ARM64_MAGIC	   0x644d5241
#define RISCV_MAGIC	   0x05435352

#define NOTE_PVH_ENTRY 18 /* XEN_ELFNOTE_PHYS32_ENTRY */

static uint32_t get32(const uint8_t *bytes)
{
	uint32_t value;
	memcpy(&value, bytes, sizeof(value));
	return value;
}

static bool in_file(uint64_t offset, uint64_t size, uint64_t file_size)
{
	return offset <= file_size && size <= file_size - offset;
}

static const char *machine_name(unsigned int machine)
{
	switch (machine) {
	case EM_AARCH64:
		return "is a kernel for arm64: this host runs x86_64 guests";
	case EM_RISCV:
		return "is a kernel for riscv: this host runs x86_64 guests";
	case EM_386:
		return "is a 32-bit x86 kernel: ebb runs 64-bit ones";
	default:
		return "is a kernel for another processor: this host runs x86_64 guests";
	}
}

static const char *parse_segment(struct image *image, const Elf64_Phdr *program, uint64_t file_size)
{
	if (program->p_type == PT_NOTE && image->note_size == 0 &&
	    in_file(program->p_offset, program->p_filesz, file_size)) {
		image->note_offset = program->p_offset;
		image->note_size = program->p_filesz;
	}
	if (program->p_type != PT_LOAD || program->p_memsz == 0)
		return NULL;
	if (!in_file(program->p_offset, program->p_filesz, file_size))
		return "is truncated: a part that its header names is missing";
	if (program->p_filesz > program->p_memsz ||
	    program->p_paddr + program->p_memsz < program->p_paddr)
		return "is damaged: its ELF program headers contradict themselves";
	if (image->segments == IMAGE_SEGMENTS_MAX)
		return "has more ELF segments than a kernel has: is it one?";
	image->segment[image->segments++] = (struct image_segment){
		.offset = program->p_offset,
		.file_size = program->p_filesz,
		.gpa = program->p_paddr,
		.memory_size = program->p_memsz,
	};
	return NULL;
}

static const char *parse_elf(struct image *image, const uint8_t *head, size_t head_size,
			     uint64_t file_size)
{
	Elf64_Ehdr elf;
	if (head_size < sizeof(elf))
		return "is truncated: it ends within its ELF header";
	memcpy(&elf, head, sizeof(elf));

	if (elf.e_ident[EI_DATA] != ELFDATA2LSB || elf.e_machine != EM_X86_64)
		return machine_name(elf.e_machine);
	if (elf.e_ident[EI_CLASS] != ELFCLASS64)
		return machine_name(EM_386);
	if (elf.e_type != ET_EXEC && elf.e_type != ET_DYN)
		return "is an ELF file but not an executable one: ebb wants vmlinux or bzImage";
	if (elf.e_phentsize != sizeof(Elf64_Phdr) || elf.e_phnum == 0)
		return "is damaged: its ELF header has no program headers";
	if (!in_file(elf.e_phoff, (uint64_t)elf.e_phnum * sizeof(Elf64_Phdr), file_size))
		return "is truncated: it ends within its ELF program headers";
	if (!in_file(elf.e_phoff, (uint64_t)elf.e_phnum * sizeof(Elf64_Phdr), head_size))
		return "is no kernel: its ELF program headers are not at its start";

	for (unsigned int i = 0; i < elf.e_phnum; i++) {
		Elf64_Phdr program;
		memcpy(&program, head + elf.e_phoff + i * sizeof(program), sizeof(program));
		if (program.p_type == PT_INTERP)
			return "is a program, not a kernel: ebb wants vmlinux or bzImage";
		const char *wrong = parse_segment(image, &program, file_size);
		if (wrong)
			return wrong;
	}
	if (image->segments == 0)
		return "is damaged: nothing in it is to be loaded";

	image->entry = elf.e_entry;
	image->header.boot_flag = BZIMAGE_BOOT_FLAG;
	image->header.header = BZIMAGE_MAGIC;
	image->header.version = BZIMAGE_PROTOCOL;
	image->header.loadflags = LOADED_HIGH;
	return NULL;
}

static const char *parse_bzimage(struct image *image, const uint8_t *head, size_t head_size,
				 uint64_t file_size)
{
	/* A jump over the header gives its end, so that later versions can be longer. */
	if (head_size < BZIMAGE_HEADER + sizeof(image->header))
		return "is truncated: it ends within its setup header";
	size_t end = BZIMAGE_HEADER_END + head[BZIMAGE_HEADER_END - 1];
	size_t size = end - BZIMAGE_HEADER;
	if (size > sizeof(image->header))
		size = sizeof(image->header);
	memcpy(&image->header, head + BZIMAGE_HEADER, size);

	const struct setup_header *header = &image->header;
	if (header->version < BZIMAGE_PROTOCOL)
		return "is too old a kernel (before Linux 3.8): ebb needs its 64-bit entry";
	if (!(header->xloadflags & XLF_KERNEL_64))
		return machine_name(EM_386);

	/* By the protocol 0 stands for 4. */
	uint64_t setup = ((header->setup_sects ? header->setup_sects : 4) + 1) * BZIMAGE_SECTOR;
	uint64_t payload = (uint64_t)header->syssize * 16;
	if (setup >= file_size || payload > file_size - setup + 15)
		return "is truncated: the end of its compressed kernel is missing";
	if (header->init_size < file_size - setup)
		return "is damaged: its setup header contradicts itself";

	image->is_bzimage = true;
	image->entry = BZIMAGE_ENTRY_64;
	image->segments = 1;
	image->segment[0] = (struct image_segment){
		.offset = setup,
		.file_size = file_size - setup,
		.gpa = header->pref_address,
		.memory_size = header->init_size,
	};
	return NULL;
}

const char *image_parse(struct image *image, const uint8_t *head, size_t head_size,
			uint64_t file_size)
{
	memset(image, 0, sizeof(*image));

	if (file_size == 0)
		return "is empty";
	if (head_size >= SELFMAG && memcmp(head, ELFMAG, SELFMAG) == 0)
		return parse_elf(image, head, head_size, file_size);
	if (head_size >= BZIMAGE_HEADER_END + 4 &&
	    get32(head + BZIMAGE_HEADER_END) == BZIMAGE_MAGIC)
		return parse_bzimage(image, head, head_size, file_size);
	if (head_size >= OTHER_MAGIC_OFFSET + 4) {
		if (get32(head + OTHER_MAGIC_OFFSET) == ARM64_MAGIC)
			return machine_name(EM_AARCH64);
		if (get32(head + OTHER_MAGIC_OFFSET) == RISCV_MAGIC)
			return machine_name(EM_RISCV);
	}
	return "is not a kernel: ebb wants an ELF vmlinux or a bzImage";
}

uint32_t image_pvh_entry(const uint8_t *notes, size_t size)
{
	size_t at = 0;

	while (at < size && size - at >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr note;
		memcpy(&note, notes + at, sizeof(note));
		at += sizeof(note);

		uint64_t name = ((uint64_t)note.n_namesz + 3) & ~3ULL;
		uint64_t desc = ((uint64_t)note.n_descsz + 3) & ~3ULL;
		if (name > size - at || desc > size - at - name)
			return 0;
		if (note.n_type == NOTE_PVH_ENTRY && note.n_namesz == 4 && note.n_descsz >= 4 &&
		    memcmp(notes + at, "Xen", 4) == 0)
			return get32(notes + at + name);
		at += name + desc;
	}
	return 0;
}
