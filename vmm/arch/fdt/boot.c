// SPDX-License-Identifier: Apache-2.0
#include "vmm/arch/fdt/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "vmm/arch/fdt/reader.h"
#include "vmm/arch/packing.h"
#include "vmm/lib/log.h"
#include "vmm/lib/write_all.h"

#define PARAMS_MAX                                                                                 \
	2048 /* COMMAND_LINE_SIZE of arm64, including the terminating zero; riscv64 has half */

#define MIB_UP(bytes) (((unsigned long long)(bytes) + 0xfffff) >> 20)

struct loader {
	const struct arch_boot *boot;
	struct reader *reader;
	uint8_t head[FDT_IMAGE_HEADER];
	struct fdt_image image;
	struct fdt_places places;
};

/* A file without a known header, and not compressed: that would hide the kernel's size. */
static bool is_flat(const struct loader *loader, ssize_t size)
{
	const uint8_t *head = loader->head;
	return size >= 4 && !loader->reader->gzip && memcmp(head, "\177ELF", 4) != 0 &&
	       memcmp(head + 0x38, "RSC\x05", 4) != 0 && memcmp(head + 0x38, "ARM\x64", 4) != 0;
}

static int look_at_kernel(struct loader *loader, enum fdt_kind kind)
{
	const struct boot_file *kernel = loader->boot->kernel;
	int error = reader_open(loader->reader, kernel);
	if (error)
		return error;
	ssize_t size = reader_read(loader->reader, loader->head, sizeof(loader->head));
	if (size < 0)
		return (int)size;
	if (packing_told(kernel, loader->head, size))
		return -ENOEXEC;
	const char *wrong = fdt_image_parse(&loader->image, kind, loader->head, size);
	if (!wrong)
		return 0;
	/* Run a flat image only if the user asked for it: otherwise any text file would be run. */
	if (loader->boot->nodefaults && kind == FDT_ARM64 && is_flat(loader, size)) {
		loader->image = fdt_image_flat(kernel->size);
		return 0;
	}
	log_error("the kernel '%s' %s", kernel->name, wrong);
	return -ENOEXEC;
}

static int look_at_initrd(const struct loader *loader)
{
	const struct boot_file *initrd = loader->boot->initrd;
	if (!initrd || initrd->size > 0)
		return 0;
	log_error("the initrd '%s' is empty", initrd->name);
	return -EINVAL;
}

static int place(struct loader *loader, uint64_t tree)
{
	const struct arch_boot *boot = loader->boot;
	int error = fdt_image_place(&loader->places, &loader->image, boot->ram, tree,
				    boot->initrd ? boot->initrd->size : 0);
	unsigned long long mib = ram_size(boot->ram) >> 20;

	if (error && loader->places.tree.len)
		log_error("the initrd '%s' (%llu MiB) does not fit behind the kernel in %llu MiB: "
			  "give more with -m",
			  boot->initrd->name, MIB_UP(boot->initrd->size), mib);
	else if (error)
		log_error("%llu MiB of memory is too small for the kernel '%s', which needs "
			  "%llu MiB: give more with -m",
			  mib, boot->kernel->name,
			  MIB_UP(loader->image.text_offset + loader->image.size));
	return error;
}

/* Ignores data in the file beyond the size that the header gives for the kernel's memory. */
static int load(const struct loader *loader)
{
	const struct gpa_range *kernel = &loader->places.kernel;
	const struct gpa_range *initrd = &loader->places.initrd;
	uint8_t *to = ram_at(loader->boot->ram, kernel->gpa, kernel->len);
	if (!to)
		return -EFAULT;

	memcpy(to, loader->head, sizeof(loader->head));
	ssize_t size = reader_read(loader->reader, to + sizeof(loader->head),
				   kernel->len - sizeof(loader->head));
	if (size < 0)
		return (int)size;
	if (!initrd->len)
		return 0;
	to = ram_at(loader->boot->ram, initrd->gpa, initrd->len);
	return to ? boot_file_read(loader->boot->initrd, 0, to, initrd->len) : -EFAULT;
}

/* Writes ebb's parameters (the console, a reboot after a panic), then the user's. */
static int write_params(char *line, const struct arch_boot *boot)
{
	const char *user = boot->params;
	const char *ours = arch_params(boot);
	int used = snprintf(line, PARAMS_MAX, "%s%s%s", ours, *ours && *user ? " " : "", user);
	if (used < PARAMS_MAX)
		return 0;
	log_error("the kernel's command line is too long: at most %d bytes are allowed, -p has %zu",
		  PARAMS_MAX - 1, strlen(user));
	return -E2BIG;
}

static int dump(const char *path, const void *tree, size_t size)
{
	/* O_NONBLOCK: do not wait for a pipe's reader. */
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_CLOEXEC, 0600);
	int error = fd < 0 ? -errno : write_all(fd, tree, size);
	if (error)
		log_error("cannot write the device tree to '%s': %s", path, strerror(-error));
	if (fd >= 0)
		close(fd);
	return error;
}

static int write_tree(const struct loader *loader, unsigned int cpus, const struct fdt_arch *arch)
{
	const struct arch_boot *boot = loader->boot;
	uint8_t seed[FDT_SEED_SIZE];
	char params[PARAMS_MAX];
	int error = write_params(params, boot);
	if (error)
		return error;
	if (getrandom(seed, sizeof(seed), 0) != sizeof(seed))
		return -EIO;
	const struct fdt_machine machine = {
		.ram = boot->ram,
		.initrd = loader->places.initrd,
		.params = params,
		.seed = seed,
		.device = boot->device,
		.devices = boot->devices,
		.cpus = cpus,
	};
	void *tree = malloc(FDT_TREE_SIZE(cpus));
	int size = tree ? fdt_tree_build(tree, &machine, arch) : -ENOMEM;
	error = size < 0 ? size : 0;
	if (error)
		log_error("cannot describe the machine to the guest: %s", strerror(-error));
	if (!error)
		error = ram_write(boot->ram, loader->places.tree.gpa, tree, size);
	if (!error && boot->dump_dtb)
		error = dump(boot->dump_dtb, tree, size);
	free(tree);
	return error;
}

int fdt_boot_load(const struct arch_boot *boot, unsigned int cpus, enum fdt_kind kind,
		  const struct fdt_arch *arch, struct arch_entry *entry)
{
	struct loader loader = {
		.boot = boot,
		.reader = calloc(1, sizeof(*loader.reader)),
	};
	int error = -ENOMEM;
	if (!loader.reader) {
		log_error("cannot load the kernel: the host has no memory left");
		return error;
	}
	error = look_at_kernel(&loader, kind);
	if (!error)
		error = look_at_initrd(&loader);
	if (!error)
		error = place(&loader, FDT_TREE_SIZE(cpus));
	if (!error)
		error = load(&loader);
	if (!error)
		error = write_tree(&loader, cpus, arch);
	*entry = (struct arch_entry){.pc = loader.places.kernel.gpa,
				     .argument = loader.places.tree.gpa};
	reader_close(loader.reader);
	free(loader.reader);
	return error;
}
