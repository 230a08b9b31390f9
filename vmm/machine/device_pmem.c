// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/device_pmem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "vmm/lib/image_format.h"
#include "vmm/lib/image_lock.h"
#include "vmm/lib/log.h"
#include "vmm/machine/machine.h"

#define GIB	   (1ULL << 30)
#define LOWEST_GPA (4 * GIB) /* on x86_64, the devices end here */
#define BITS_MAX   56	     /* no architecture has longer physical addresses */

_Static_assert(VM_PMEMS_MAX <= RAM_WINDOWS_MAX, "each is a window");

static uint64_t whole_gib(uint64_t bytes)
{
	return (bytes + GIB - 1) & ~(GIB - 1);
}

/* --- the files -------------------------------------------------------------------------------- */

/* A file that cannot be read has no format here; its first access fails. */
static int check_format(const struct pmem_region *region)
{
	uint8_t first[IMAGE_FORMAT_SECTOR] = {0}, last[IMAGE_FORMAT_SECTOR] = {0};
	off_t end = region->file_size < IMAGE_FORMAT_SECTOR
			    ? 0
			    : region->file_size - IMAGE_FORMAT_SECTOR;

	if (pread(region->fd, first, sizeof(first), 0) < 0 ||
	    pread(region->fd, last, sizeof(last), end) < 0)
		return 0;
	const char *format = image_format_name(first, last);
	if (!format)
		return 0;
	log_error("'%s' is an image in the format %s, but --pmem needs a raw one: convert it with "
		  "qemu-img convert -O raw",
		  region->file, format);
	return -EINVAL;
}

static int lock(const struct pmem_region *region)
{
	int error = image_lock(region->fd, region->read_only);
	if (error == -EAGAIN)
		log_error("'%s' (--pmem) is in use already, by another guest or as another disk%s",
			  region->file,
			  region->read_only ? ", which may write to it: give each its own, or "
					      "FILE,ro to both"
					    : ": give each its own, or FILE,ro to both");
	else if (error)
		log_error("cannot lock '%s' for --pmem: %s", region->file, strerror(-error));
	return error;
}

int pmems_open(struct machine *machine)
{
	const struct vm_pmems *wanted = &machine->config->pmems;
	int error = 0;

	for (unsigned int i = 0; i < wanted->count && !error; i++) {
		struct pmem_region *region = &machine->pmem[i];
		error = pmem_region_open(region, wanted->pmem[i].file, wanted->pmem[i].read_only);
		if (!error)
			error = check_format(region);
		if (!error)
			error = lock(region);
	}
	return error;
}

void pmems_close(struct machine *machine)
{
	for (unsigned int i = 0; i < VM_PMEMS_MAX; i++)
		pmem_region_close(&machine->pmem[i]);
}

/* --- their place ------------------------------------------------------------------------------ */

uint64_t pmems_room(const struct machine *machine)
{
	const unsigned int count = machine->config->pmems.count;
	/* Up to LOWEST_GPA, or from RAM's end to the next GiB. */
	uint64_t room = count ? LOWEST_GPA : 0;

	for (unsigned int i = 0; i < count; i++)
		room += whole_gib(machine->pmem[i].size);
	return room;
}

static int map_at(struct machine *machine, struct pmem_region *region, uint64_t gpa)
{
	region->gpa = gpa;
	int error = pmem_region_map(region);
	if (error)
		return error;
	error = ram_add_window(&machine->ram, gpa, region->size, region->hva);
	return error ? error : vm_map_memory(&machine->vm, gpa, region->size, region->hva);
}

int pmems_map(struct machine *machine, unsigned int gpa_bits)
{
	const struct ram_region *last = &machine->ram.region[machine->ram.regions - 1];
	uint64_t limit = 1ULL << (gpa_bits < BITS_MAX ? gpa_bits : BITS_MAX);
	uint64_t gpa = whole_gib(last->gpa + last->size);
	int error = 0;

	if (gpa < LOWEST_GPA)
		gpa = LOWEST_GPA;
	for (unsigned int i = 0; i < machine->config->pmems.count && !error; i++) {
		struct pmem_region *region = &machine->pmem[i];
		if (gpa > limit || region->size > limit - gpa) {
			log_error("'%s' (--pmem, %llu MiB) ends beyond what a guest can address on "
				  "this host (%u bits): give it less memory with -m, or a smaller "
				  "file",
				  region->file, (unsigned long long)region->size >> 20, gpa_bits);
			return -E2BIG;
		}
		error = map_at(machine, region, gpa);
		gpa = whole_gib(gpa + region->size);
	}
	return error;
}

/* --- a file that changes ---------------------------------------------------------------------- */

/*
 * KVM on x86_64 has a vCPU that touches a page beyond the file's end try again for ever, as long as it
 * takes interrupts: the fault is to be resolved in the background, never is, and is not told to
 * ebb. So the guest ends as soon as the file has become shorter. Source: Linux, virt/kvm/kvm_main.c
 * (hva_to_pfn), arch/x86/kvm/mmu/mmu.c (kvm_faultin_pfn).
 */
static void file_changed(void *ctx)
{
	struct pmem_device *device = ctx;
	char events[4096];

	if (read(device->changes.fd, events, sizeof(events)) > 0 &&
	    pmem_region_is_shorter(device->pmem.region))
		machine_stop(device->device.machine, MACHINE_CRASHED);
}

/* May wait for the host's storage. */
static bool explain_crash(const struct device *device)
{
	const struct pmem_region *region = ((const struct pmem_device *)device)->pmem.region;

	if (!pmem_region_is_shorter(region))
		return false;
	log_error("the file '%s' (--pmem) became shorter while the guest used it: restore it, and "
		  "let it keep its size",
		  region->file);
	return true;
}

static int watch(struct pmem_device *device)
{
	char path[64];

	/* The file that is open, whatever has its name now. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", device->pmem.region->fd);
	device->changes.fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (device->changes.fd < 0 || inotify_add_watch(device->changes.fd, path, IN_MODIFY) < 0)
		return -errno;
	return loop_add(&device->device.slot.worker.loop, &device->changes);
}

/* --- the device ------------------------------------------------------------------------------- */

static unsigned int pmem_count(const struct vm_config *config)
{
	return config->pmems.count;
}

static int pmem_device_init(struct device *device, const struct vm_config *config)
{
	struct pmem_device *pmem = (struct pmem_device *)device;
	const struct pmem_region *region = &device->machine->pmem[device->number];
	(void)config;

	device->virtio = &pmem->pmem.dev;
	pmem_init(&pmem->pmem, region, &device->slot.host);
	pmem->changes = (struct loop_source){-1, file_changed, pmem};
	int error = watch(pmem);
	if (error)
		log_warn("the host cannot tell when '%s' (--pmem) becomes shorter: %s; let it keep "
			 "its size while the guest runs, or the guest hangs",
			 region->file, strerror(-error));
	return 0;
}

static void pmem_device_release(struct device *device)
{
	struct pmem_device *pmem = (struct pmem_device *)device;
	if (pmem->changes.fd >= 0)
		close(pmem->changes.fd);
	pmem->changes.fd = -1;
}

const struct device_kind device_pmem = {
	.name = "pmem",
	.size = sizeof(struct pmem_device),
	.count = pmem_count,
	.init = pmem_device_init,
	.release = pmem_device_release,
	.explain_crash = explain_crash,
};

struct pmem_device *machine_pmem(const struct machine *machine, unsigned int number)
{
	return (struct pmem_device *)machine_find(machine, &device_pmem, number);
}
