// SPDX-License-Identifier: Apache-2.0
/* Kernel files, told apart by their first bytes: good ones, and each way of being wrong. */
#include <check.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/arch/x86_64/image.h"

#define FILE_SIZE 8192

static uint8_t file[FILE_SIZE];
static struct image image;

static Elf64_Ehdr *elf(void)
{
	return (Elf64_Ehdr *)file;
}

static Elf64_Phdr *program(unsigned int i)
{
	return (Elf64_Phdr *)(file + sizeof(Elf64_Ehdr)) + i;
}

/* A kernel of two segments, the second with more memory than file, and a note. */
static void make_elf(void)
{
	memset(file, 0, sizeof(file));
	memcpy(elf()->e_ident, ELFMAG, SELFMAG);
	elf()->e_ident[EI_CLASS] = ELFCLASS64;
	elf()->e_ident[EI_DATA] = ELFDATA2LSB;
	elf()->e_type = ET_EXEC;
	elf()->e_machine = EM_X86_64;
	elf()->e_entry = 0x1000123;
	elf()->e_phoff = sizeof(Elf64_Ehdr);
	elf()->e_phentsize = sizeof(Elf64_Phdr);
	elf()->e_phnum = 3;
	*program(0) = (Elf64_Phdr){.p_type = PT_LOAD,
				   .p_offset = 0x1000,
				   .p_paddr = 0x1000000,
				   .p_vaddr = 0xffffffff81000000,
				   .p_filesz = 0x800,
				   .p_memsz = 0x800};
	*program(1) = (Elf64_Phdr){.p_type = PT_LOAD,
				   .p_offset = 0x1800,
				   .p_paddr = 0x1200000,
				   .p_filesz = 0x400,
				   .p_memsz = 0x10000};
	*program(2) = (Elf64_Phdr){
		.p_type = PT_NOTE, .p_offset = 0x1c00, .p_filesz = 0x40, .p_memsz = 0x40};
}

static struct setup_header *header(void)
{
	return (struct setup_header *)(file + 0x1f1);
}

static void make_bzimage(void)
{
	memset(file, 0, sizeof(file));
	header()->setup_sects = 3;
	header()->boot_flag = 0xaa55;
	header()->jump = 0x66eb; /* over the header: its end is 0x202 + 0x66 */
	header()->header = 0x53726448;
	header()->version = 0x20f;
	header()->loadflags = LOADED_HIGH;
	header()->xloadflags = XLF_KERNEL_64;
	header()->syssize = (FILE_SIZE - 2048) / 16;
	header()->kernel_alignment = 0x200000;
	header()->relocatable_kernel = 1;
	header()->cmdline_size = 2047;
	header()->pref_address = 0x1000000;
	header()->init_size = 0x300000;
	header()->initrd_addr_max = 0x7fffffff;
}

static const char *parse_sized(uint64_t size)
{
	return image_parse(&image, file, size < IMAGE_HEAD_SIZE ? size : IMAGE_HEAD_SIZE, size);
}

static const char *parse(void)
{
	return parse_sized(FILE_SIZE);
}

#define ck_says(wrong, words)                                                                      \
	do {                                                                                       \
		const char *said = (wrong);                                                        \
		ck_assert_ptr_nonnull(said);                                                       \
		ck_assert_msg(strstr(said, words) != NULL, "'%s' does not say '%s'", said, words); \
	} while (0)

START_TEST(elf_is_loaded_by_physical_address)
{
	make_elf();
	ck_assert_ptr_null(parse());
	ck_assert(!image.is_bzimage);
	ck_assert_uint_eq(image.entry, 0x1000123);
	ck_assert_uint_eq(image.segments, 2);
	ck_assert_uint_eq(image.segment[0].gpa, 0x1000000);
	ck_assert_uint_eq(image.segment[1].offset, 0x1800);
	ck_assert_uint_eq(image.segment[1].file_size, 0x400);
	ck_assert_uint_eq(image.segment[1].memory_size, 0x10000);
	ck_assert_uint_eq(image.note_offset, 0x1c00);
	ck_assert_uint_eq(image.note_size, 0x40);
}
END_TEST

START_TEST(elf_of_others_is_refused)
{
	make_elf();
	elf()->e_machine = EM_AARCH64;
	ck_says(parse(), "arm64");
	elf()->e_machine = EM_RISCV;
	ck_says(parse(), "riscv");
	elf()->e_machine = EM_386;
	ck_says(parse(), "32-bit");
	elf()->e_machine = EM_S390;
	ck_says(parse(), "another processor");
	make_elf();
	elf()->e_ident[EI_CLASS] = ELFCLASS32;
	ck_says(parse(), "32-bit");
	make_elf();
	elf()->e_type = ET_REL;
	ck_says(parse(), "not an executable");
	make_elf();
	program(2)->p_type = PT_INTERP;
	ck_says(parse(), "a program");
}
END_TEST

START_TEST(elf_that_contradicts_itself_is_refused)
{
	make_elf();
	ck_says(parse_sized(20), "truncated");
	ck_says(parse_sized(0x1900), "truncated");
	program(0)->p_filesz = UINT64_MAX;
	ck_says(parse(), "truncated");
	make_elf();
	program(1)->p_offset = UINT64_MAX - 8;
	ck_says(parse(), "truncated");
	make_elf();
	program(1)->p_memsz = 0x100;
	ck_says(parse(), "damaged");
	make_elf();
	program(1)->p_paddr = UINT64_MAX - 0x100;
	ck_says(parse(), "damaged");
	make_elf();
	elf()->e_phentsize = 1;
	ck_says(parse(), "damaged");
	make_elf();
	elf()->e_phoff = FILE_SIZE - 8;
	ck_says(parse(), "truncated");
	make_elf();
	elf()->e_phoff = IMAGE_HEAD_SIZE;
	ck_says(parse(), "not at its start");
	make_elf();
	program(0)->p_type = program(1)->p_type = PT_NULL;
	ck_says(parse(), "nothing in it");
	make_elf();
	elf()->e_phnum = IMAGE_SEGMENTS_MAX + 1;
	for (unsigned int i = 0; i <= IMAGE_SEGMENTS_MAX; i++)
		*program(i) = *program(0);
	ck_says(parse(), "more ELF segments");
}
END_TEST

START_TEST(elf_note_outside_the_file_is_none)
{
	make_elf();
	program(2)->p_offset = FILE_SIZE - 0x10;
	ck_assert_ptr_null(parse());
	ck_assert_uint_eq(image.note_size, 0);
}
END_TEST

START_TEST(bzimage_is_loaded_where_it_prefers)
{
	make_bzimage();
	ck_assert_ptr_null(parse());
	ck_assert(image.is_bzimage);
	ck_assert_uint_eq(image.entry, 0x200);
	ck_assert_uint_eq(image.segments, 1);
	ck_assert_uint_eq(image.segment[0].offset, 4 * 512);
	ck_assert_uint_eq(image.segment[0].file_size, FILE_SIZE - 4 * 512);
	ck_assert_uint_eq(image.segment[0].gpa, 0x1000000);
	ck_assert_uint_eq(image.segment[0].memory_size, 0x300000);
	ck_assert_uint_eq(image.header.cmdline_size, 2047);
	/* 0 sectors of setup code stand for 4. */
	header()->setup_sects = 0;
	header()->syssize = (FILE_SIZE - 5 * 512) / 16;
	ck_assert_ptr_null(parse());
	ck_assert_uint_eq(image.segment[0].offset, 5 * 512);
}
END_TEST

START_TEST(bzimage_that_cannot_boot_is_refused)
{
	make_bzimage();
	header()->version = 0x20b;
	ck_says(parse(), "too old");
	make_bzimage();
	header()->xloadflags = 0;
	ck_says(parse(), "32-bit");
	make_bzimage();
	header()->syssize *= 2;
	ck_says(parse(), "truncated");
	make_bzimage();
	ck_says(parse_sized(0x240), "truncated");
	ck_says(parse_sized(4 * 512), "truncated");
	header()->init_size = 100;
	ck_says(parse(), "damaged");
}
END_TEST

START_TEST(bzimage_header_ends_where_it_says)
{
	make_bzimage();
	/* An old, short header: what follows it is code and must not be taken for fields. */
	header()->jump = 0x10eb;
	ck_says(parse(), "32-bit"); /* xloadflags lie beyond its end */
	/* One longer than any known is cut to what is known. */
	make_bzimage();
	header()->jump = 0xffeb;
	ck_assert_ptr_null(parse());
}
END_TEST

START_TEST(what_is_no_kernel_is_named)
{
	memset(file, 'x', sizeof(file));
	ck_says(parse(), "is not a kernel");
	ck_says(parse_sized(0), "empty");
	ck_says(parse_sized(1), "is not a kernel");
	memset(file, 0, sizeof(file));
	memcpy(file + 0x38, "ARM\x64", 4);
	ck_says(parse(), "arm64");
	memcpy(file + 0x38, "RSC\x05", 4);
	ck_says(parse(), "riscv");
}
END_TEST

START_TEST(every_first_byte_is_survived)
{
	/* Whatever the header's bytes are, nothing outside the head is read (the sanitizers watch). */
	for (unsigned int at = 0; at < 0x270; at++)
		for (unsigned int value = 0; value < 256; value += 17) {
			uint8_t *head = malloc(0x270);
			make_elf();
			file[at] = value;
			memcpy(head, file, 0x270);
			image_parse(&image, head, 0x270, FILE_SIZE);
			make_bzimage();
			file[at] = value;
			memcpy(head, file, 0x270);
			image_parse(&image, head, 0x270, FILE_SIZE);
			free(head);
		}
}
END_TEST

static size_t add_note(uint8_t *at, const char *name, uint32_t type, uint32_t desc)
{
	Elf64_Nhdr note = {strlen(name) + 1, 8, type};
	memcpy(at, &note, sizeof(note));
	strcpy((char *)at + sizeof(note), name);
	size_t name_size = (note.n_namesz + 3) & ~3u;
	memcpy(at + sizeof(note) + name_size, &desc, sizeof(desc));
	return sizeof(note) + name_size + 8;
}

START_TEST(pvh_entry_is_found_among_notes)
{
	uint8_t notes[256] = {0};
	size_t size = add_note(notes, "GNU", 3, 1);
	size += add_note(notes + size, "Xen", 6, 2);
	ck_assert_uint_eq(image_pvh_entry(notes, size), 0);
	size_t before = size;
	size += add_note(notes + size, "Xen", 18, 0x1000370);
	ck_assert_uint_eq(image_pvh_entry(notes, size), 0x1000370);
	for (size_t cut = before + 1; cut < size; cut++)
		ck_assert_uint_eq(image_pvh_entry(notes, cut), 0);
	ck_assert_uint_eq(image_pvh_entry(notes, 0), 0);
	/* Lengths that reach out of the notes end the search. */
	memset(notes, 0xff, 12);
	ck_assert_uint_eq(image_pvh_entry(notes, size), 0);
}
END_TEST

Suite *image_suite(void);
Suite *image_suite(void)
{
	Suite *suite = suite_create("image");
	TCase *tcase = tcase_create("image");
	tcase_add_test(tcase, elf_is_loaded_by_physical_address);
	tcase_add_test(tcase, elf_of_others_is_refused);
	tcase_add_test(tcase, elf_that_contradicts_itself_is_refused);
	tcase_add_test(tcase, elf_note_outside_the_file_is_none);
	tcase_add_test(tcase, bzimage_is_loaded_where_it_prefers);
	tcase_add_test(tcase, bzimage_that_cannot_boot_is_refused);
	tcase_add_test(tcase, bzimage_header_ends_where_it_says);
	tcase_add_test(tcase, what_is_no_kernel_is_named);
	tcase_add_test(tcase, every_first_byte_is_survived);
	tcase_add_test(tcase, pvh_entry_is_found_among_notes);
	suite_add_tcase(suite, tcase);
	return suite;
}
