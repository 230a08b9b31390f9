// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/saved_machine.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <string.h>

#include "vmm/lib/version.h"
#include "vmm/machine/machine.h"

#define NAME_SIZE 16

static void put_name(struct record *record, const char *name)
{
	char field[NAME_SIZE] = "";
	snprintf(field, sizeof(field), "%s", name);
	record_bytes(record, field, sizeof(field));
}

static void take_name(struct record_in *in, char name[NAME_SIZE])
{
	record_take_bytes(in, name, NAME_SIZE);
	/* It goes into a message. */
	name[NAME_SIZE - 1] = '\0';
	for (char *c = name; *c; c++)
		if (*c <= ' ' || *c > '~')
			*c = '?';
}

void saved_machine_write(const struct machine *machine, struct record *record)
{
	const struct device_list *list = &machine->devices;
	const struct ram *ram = &machine->ram;

	put_name(record, arch_map.name);
	put_name(record, EBB_VERSION);
	record_u32(record, machine->cpus.count);
	record_u32(record, ram->regions);
	for (unsigned int i = 0; i < ram->regions; i++) {
		record_u64(record, ram->region[i].gpa);
		record_u64(record, ram->region[i].size);
	}
	record_u32(record, list->count);
	for (unsigned int i = 0; i < list->count; i++) {
		const struct device *device = list->device[i];
		record_u32(record, device->virtio->ops->id);
		record_u64(record, device->slot.place.base);
		record_u32(record, device->slot.place.gsi);
	}
}

static int compare_ram(const struct ram *ram, struct record_in *in, struct why *why)
{
	struct ram_region region[RAM_REGIONS_MAX];
	uint64_t size = 0;
	uint32_t regions = record_take_u32(in);
	bool same = regions == ram->regions;

	if (regions == 0 || regions > RAM_REGIONS_MAX)
		return why_set(why, -EINVAL, "its description of memory is malformed");
	for (uint32_t i = 0; i < regions; i++) {
		region[i].gpa = record_take_u64(in);
		region[i].size = record_take_u64(in);
		size += region[i].size;
		same = same && region[i].gpa == ram->region[i].gpa &&
		       region[i].size == ram->region[i].size;
	}
	if (same)
		return 0;
	return why_set(why, -EINVAL, "its guest has %llu MiB of memory: run it with -m %lluM",
		       (unsigned long long)size >> 20, (unsigned long long)size >> 20);
}

static int compare_devices(const struct device_list *list, struct record_in *in, struct why *why)
{
	uint32_t count = record_take_u32(in);
	bool same = count == list->count;

	for (unsigned int i = 0; i < list->count && same; i++) {
		const struct device *device = list->device[i];
		same = record_take_u32(in) == device->virtio->ops->id;
		same = record_take_u64(in) == device->slot.place.base && same;
		same = record_take_u32(in) == device->slot.place.gsi && same;
	}
	if (same)
		return 0;
	return why_set(
		why, -EINVAL,
		"its guest has other devices: give -d, -n, --rng, --balloon, --console, --port and "
		"the others as when it was started");
}

static int compare_names(struct record_in *in, struct why *why)
{
	char arch[NAME_SIZE], version[NAME_SIZE];

	take_name(in, arch);
	take_name(in, version);
	if (strcmp(arch, arch_map.name) != 0)
		return why_set(why, -EINVAL, "it is of a machine of another architecture (%s)",
			       arch);
	/* Other versions may have the same form of snapshots, but other machines in them. */
	if (strcmp(version, EBB_VERSION) != 0)
		return why_set(why, -EINVAL, "it was saved by ebb %s, and this is ebb %s", version,
			       EBB_VERSION);
	return 0;
}

int saved_machine_compare(const struct machine *machine, struct record_in *in, struct why *why)
{
	int error = compare_names(in, why);
	if (error)
		return error;
	uint32_t cpus = record_take_u32(in);
	if (cpus != machine->cpus.count)
		return why_set(why, -EINVAL, "its guest has %u CPUs: run it with -c %u", cpus,
			       cpus);
	error = compare_ram(&machine->ram, in, why);
	if (!error)
		error = compare_devices(&machine->devices, in, why);
	if (!error && !record_complete(in))
		error = why_set(why, -EINVAL, "its description of the machine is malformed");
	return error;
}

static void count_device(struct saved_machine *saved, uint32_t id)
{
	switch (id) {
	case VIRTIO_ID_BALLOON:
		saved->balloons++;
		break;
	case VIRTIO_ID_BLOCK:
		saved->disks++;
		break;
	case VIRTIO_ID_NET:
		saved->networks++;
		break;
	case VIRTIO_ID_RNG:
		saved->rngs++;
		break;
	case VIRTIO_ID_VSOCK:
		saved->vsocks++;
		break;
	case VIRTIO_ID_CONSOLE:
		saved->consoles++;
		break;
	}
}

int saved_machine_read(struct record_in *in, struct saved_machine *saved, struct why *why)
{
	*saved = (struct saved_machine){0};
	int error = compare_names(in, why);
	if (error)
		return error;
	saved->cpus = record_take_u32(in);
	saved->regions = record_take_u32(in);
	if (saved->regions > RAM_REGIONS_MAX)
		return why_set(why, -EINVAL, "its description of memory is malformed");
	for (uint32_t i = 0; i < saved->regions && !in->bad; i++) {
		saved->region[i].gpa = record_take_u64(in);
		saved->region[i].len = record_take_u64(in);
		saved->memory += saved->region[i].len;
	}
	uint32_t devices = record_take_u32(in);
	for (uint32_t i = 0; i < devices && !in->bad; i++) {
		count_device(saved, record_take_u32(in));
		record_take_u64(in);
		record_take_u32(in);
	}
	return record_complete(in)
		       ? 0
		       : why_set(why, -EINVAL, "its description of the machine is malformed");
}
