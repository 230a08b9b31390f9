// SPDX-License-Identifier: Apache-2.0
/*
 * Loading a kernel: look at the file, place it, place the initrd right behind it, write the command
 * line, the ACPI tables and the boot protocol's data.
 */
#include "vmm/arch/x86_64/boot.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/arch/arch.h"
#include "vmm/arch/boot_file.h"
#include "vmm/arch/packing.h"
#include "vmm/arch/x86_64/acpi.h"
#include "vmm/arch/x86_64/generation.h"
#include "vmm/arch/x86_64/image.h"
#include "vmm/arch/x86_64/initrd.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/lib/log.h"

#define NOTES_SIZE_MAX 65536
#define PAGE	       4096ULL

#define MIB_UP(bytes) (((unsigned long long)(bytes) + 0xfffff) >> 20)

static int identify(const struct boot_file *kernel, struct image *image, uint32_t *pvh_entry)
{
	uint8_t head[IMAGE_HEAD_SIZE];
	size_t size = kernel->size < sizeof(head) ? kernel->size : sizeof(head);
	int error = boot_file_read(kernel, 0, head, size);
	if (error)
		return error;

	if (packing_told(kernel, head, size))
		return -ENOEXEC;
	const char *wrong = image_parse(image, head, size, kernel->size);
	if (wrong) {
		log_error("the kernel '%s' %s", kernel->name, wrong);
		return -ENOEXEC;
	}
	*pvh_entry = 0;
	uint8_t notes[NOTES_SIZE_MAX];
	size = image->note_size < sizeof(notes) ? image->note_size : sizeof(notes);
	error = boot_file_read(kernel, image->note_offset, notes, size);
	if (!error)
		*pvh_entry = image_pvh_entry(notes, size);
	return error;
}

/* A bzImage prefers one place; if that is not RAM, a relocatable kernel is moved down. */
static void place_bzimage(struct image *image, const struct ram *ram)
{
	struct image_segment *segment = &image->segment[0];
	const struct setup_header *header = &image->header;
	uint64_t align = header->kernel_alignment;

	if (!ram_at(ram, segment->gpa, segment->memory_size) && header->relocatable_kernel &&
	    align && (align & (align - 1)) == 0)
		segment->gpa = (LAYOUT_HIGH + align - 1) & ~(align - 1);
	image->entry += segment->gpa;
}

/* Loads all segments; sets *@end to the kernel's end. */
static int load_segments(const struct boot_file *kernel, const struct image *image,
			 const struct ram *ram, uint64_t *end)
{
	*end = 0;
	for (unsigned int i = 0; i < image->segments; i++) {
		const struct image_segment *segment = &image->segment[i];
		uint64_t segment_end = segment->gpa + segment->memory_size;

		if (segment->gpa < LAYOUT_HIGH) {
			log_error(
				"the kernel '%s' is built to run at %#llx, below 1 MiB, where the "
				"machine's own tables are",
				kernel->name, (unsigned long long)segment->gpa);
			return -ENOEXEC;
		}
		void *to = ram_at(ram, segment->gpa, segment->memory_size);
		if (!to && segment_end > LAYOUT_HOLE) {
			log_error("the kernel '%s' is built to run at %#llx to %#llx, but there "
				  "a PC's memory ends at %#llx",
				  kernel->name, (unsigned long long)segment->gpa,
				  (unsigned long long)segment_end, LAYOUT_HOLE);
			return -ENOEXEC;
		}
		if (!to) {
			log_error("%llu MiB of memory is too small for the kernel '%s', which "
				  "needs %llu MiB: give that or more with -m",
				  (unsigned long long)ram_size(ram) >> 20, kernel->name,
				  MIB_UP(segment_end));
			return -ENOMEM;
		}
		int error = boot_file_read(kernel, segment->offset, to, segment->file_size);
		if (error)
			return error;
		if (segment_end > *end)
			*end = segment_end;
	}
	return 0;
}

/* Logs why the initrd does not fit; advises more memory only if that helps. */
static void tell_initrd(const struct boot_file *source, const struct image *image,
			const struct ram *ram, uint64_t from)
{
	unsigned long long memory = initrd_memory(image, from, source->size);
	if (memory)
		log_error("the initrd '%s' (%llu MiB) does not fit behind the kernel in %llu MiB: "
			  "give %llu MiB or more with -m",
			  source->name, MIB_UP(source->size),
			  (unsigned long long)ram_size(ram) >> 20, MIB_UP(memory));
	else
		log_error(
			"the initrd '%s' (%llu MiB) does not fit: this kernel takes an initrd only "
			"in the first %llu MiB of memory; use a smaller one, or a relocatable kernel",
			source->name, MIB_UP(source->size),
			(image->header.initrd_addr_max + 1ULL) >> 20);
}

static int load_initrd(const struct arch_boot *boot, const struct image *image, uint64_t kernel_end,
		       struct gpa_range *initrd)
{
	*initrd = (struct gpa_range){0, 0};
	if (!boot->initrd)
		return 0;

	const struct ram *ram = boot->ram;
	const struct boot_file *source = boot->initrd;
	uint64_t from = (kernel_end + PAGE - 1) & ~(PAGE - 1);
	if (source->size == 0) {
		log_error("the initrd '%s' is empty", source->name);
		return -EINVAL;
	}
	if (initrd_place(initrd, image, ram, from, source->size) < 0) {
		tell_initrd(source, image, ram, from);
		return -ENOMEM;
	}
	void *to = ram_at(ram, initrd->gpa, initrd->len);
	return to ? boot_file_read(source, 0, to, source->size) : -EFAULT;
}

bool arch_gsi_usable(unsigned int gsi, const char *params)
{
	return gsi < GSI_ISA_END || !acpi_off(params);
}

/* Returns 0, or -EINVAL after an error message if a kernel without ACPI cannot use a device. */
static int check_lines(const struct arch_boot *boot)
{
	for (unsigned int i = 0; i < boot->devices; i++) {
		if (arch_gsi_usable(boot->device[i].gsi, boot->params))
			continue;
		log_error(
			"with acpi=off a guest has no interrupt line beyond %u, and one of its devices "
			"needs line %u: leave out acpi=off, or some devices",
			GSI_ISA_END - 1, boot->device[i].gsi);
		return -EINVAL;
	}
	return 0;
}

/* Writes ebb's own, the devices unless ACPI names them, then the user's parameters. */
static int write_command_line(const struct arch_boot *boot, const struct image *image)
{
	char line[LAYOUT_COMMAND_MAX];
	size_t limit = image->is_bzimage && image->header.cmdline_size ? image->header.cmdline_size
								       : BOOT_COMMAND_LINE_DEFAULT;
	if (limit > sizeof(line) - 1)
		limit = sizeof(line) - 1;

	size_t used = snprintf(line, sizeof(line), "%s", arch_params(boot));
	bool names = !boot->nodefaults && acpi_off(boot->params);
	if (names && check_lines(boot) < 0)
		return -EINVAL;
	for (unsigned int i = 0; i < boot->devices && names; i++)
		used += snprintf(line + used, sizeof(line) - used,
				 "%svirtio_mmio.device=%llu@%#llx:%u", used ? " " : "",
				 (unsigned long long)boot->device[i].size,
				 (unsigned long long)boot->device[i].base, boot->device[i].gsi);
	size_t user = strlen(boot->params);
	if (used + (user ? 1 + user : 0) > limit) {
		log_error("the kernel's command line is too long: the kernel takes %zu bytes, ebb "
			  "needs %zu of them, -p has %zu",
			  limit, used + 1, user);
		return -E2BIG;
	}
	if (user)
		used += snprintf(line + used, sizeof(line) - used, "%s%s", used ? " " : "",
				 boot->params);
	return ram_write(boot->ram, LAYOUT_COMMAND_LINE, line, used + 1);
}

static int write_acpi(const struct arch_boot *boot, unsigned int cpus)
{
	uint8_t tables[ACPI_SIZE_MAX];
	const struct acpi_machine machine = {cpus, boot->device,
					     acpi_off(boot->params) ? 0 : boot->devices};
	size_t size = acpi_build(tables, LAYOUT_ACPI, &machine);
	if (size == 0) {
		log_error("the ACPI tables have no room for %u devices", machine.devices);
		return -ENOSPC;
	}
	/* A host that has just started has no random numbers: then the first generation is all zeros. */
	generation_begin(boot->ram);
	return ram_write(boot->ram, LAYOUT_ACPI, tables, size);
}

/* Writes the data for the kernel's entry, and the tables that it needs. */
static int write_handover(const struct boot_layout *layout, const struct image *image,
			  uint32_t pvh_entry, struct arch_entry *entry)
{
	int error = boot_write_tables(layout->ram);
	if (error)
		return error;

	/* Linux's PVH entry uses 32 bits of the initrd's address, the 64-bit entry all of them. */
	if (pvh_entry && layout->initrd.gpa < LAYOUT_HOLE_END) {
		struct pvh_page page;
		boot_fill_pvh(&page, layout);
		*entry = (struct arch_entry){pvh_entry, LAYOUT_PVH_INFO, BOOT_MODE_PVH};
		return ram_write(layout->ram, LAYOUT_PVH_INFO, &page, sizeof(page));
	}
	struct boot_params params;
	boot_fill_params(&params, &image->header, layout);
	*entry = (struct arch_entry){image->entry, LAYOUT_BOOT_PARAMS, BOOT_MODE_LONG};
	return ram_write(layout->ram, LAYOUT_BOOT_PARAMS, &params, sizeof(params));
}

int arch_boot_load(const struct arch_platform *platform, const struct arch_boot *boot,
		   struct arch_entry *entry)
{
	struct image image;
	struct boot_layout layout = {.ram = boot->ram, .rsdp = LAYOUT_ACPI};
	uint32_t pvh_entry;
	uint64_t kernel_end;

	if (boot->dump_dtb) {
		log_error("guests on x86_64 have no device tree: leave --dump-dtb out");
		return -EOPNOTSUPP;
	}
	int error = identify(boot->kernel, &image, &pvh_entry);
	if (error)
		return error;
	if (image.is_bzimage)
		place_bzimage(&image, boot->ram);
	error = load_segments(boot->kernel, &image, boot->ram, &kernel_end);
	if (!error)
		error = load_initrd(boot, &image, kernel_end, &layout.initrd);
	if (!error)
		error = write_command_line(boot, &image);
	if (!error)
		error = write_acpi(boot, platform->cpus);
	if (!error)
		error = write_handover(&layout, &image, pvh_entry, entry);
	return error;
}
