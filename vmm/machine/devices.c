// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/lib/log.h"
#include "vmm/machine/device.h"
#include "vmm/machine/device_balloon.h"
#include "vmm/machine/device_blk.h"
#include "vmm/machine/device_console.h"
#include "vmm/machine/device_fs.h"
#include "vmm/machine/device_net.h"
#include "vmm/machine/device_pmem.h"
#include "vmm/machine/device_rng.h"
#include "vmm/machine/device_vsock.h"
#include "vmm/machine/device_vsock_lent.h"
#include "vmm/machine/machine.h"

/*
 * Each kind, with its places, which are addresses. The guest finds devices in the order of this list.
 * Places never change: new kinds get new places. Interrupt lines are few, so that each device that
 * there is takes the next one. The two kinds of sockets exclude each other.
 */
static const struct {
	const struct device_kind *kind;
	unsigned int place; /* of number 0 */
	unsigned int most;
} kinds[] = {
	{&device_balloon, 0, 1},
	{&device_blk, 1, VM_DISKS_MAX},
	{&device_rng, 1 + VM_DISKS_MAX, 1},
	{&device_net, 2 + VM_DISKS_MAX, VM_NETWORKS_MAX},
	{&device_fs, 2 + VM_DISKS_MAX + VM_NETWORKS_MAX, VM_FOLDERS_MAX},
	{&device_pmem, 2 + VM_DISKS_MAX + VM_NETWORKS_MAX + VM_FOLDERS_MAX, VM_PMEMS_MAX},
	{&device_vsock, 2 + VM_DISKS_MAX + VM_NETWORKS_MAX + VM_FOLDERS_MAX + VM_PMEMS_MAX, 1},
	{&device_vsock_lent, 2 + VM_DISKS_MAX + VM_NETWORKS_MAX + VM_FOLDERS_MAX + VM_PMEMS_MAX, 1},
	{&device_console, 3 + VM_DISKS_MAX + VM_NETWORKS_MAX + VM_FOLDERS_MAX + VM_PMEMS_MAX, 1},
};

/* Removes the last device. */
static void unplug(struct device_list *list)
{
	struct device *device = list->device[--list->count];
	mmio_slot_release(&device->slot);
	device->kind->release(device);
	free(device);
}

static int plug(struct machine *machine, const struct device_kind *kind, unsigned int number,
		unsigned int place)
{
	struct device_list *list = &machine->devices;
	struct device *device = calloc(1, kind->size);
	if (!device) {
		log_error("cannot set up the %s: the host has no memory left", kind->name);
		return -ENOMEM;
	}
	device->kind = kind;
	device->number = number;
	device->machine = machine;
	unsigned int line = list->count++;
	list->device[line] = device;
	int error = mmio_slot_init(&device->slot, place, line, &machine->ram, &machine->platform);
	if (!error)
		error = kind->init(device, machine->config);
	if (error == DEVICE_LEFT_OUT) {
		unplug(list);
		return 0;
	}
	if (!error)
		error = mmio_slot_attach(&device->slot, device->virtio, &machine->vm,
					 &machine->mmio);
	return error;
}

/* Returns that of the last device that has one, or NULL. */
static const char *find_sharer(const struct device_list *list)
{
	const char *sharer = NULL;

	for (unsigned int i = list->count; i > 0 && !sharer; i--) {
		const struct device *device = list->device[i - 1];
		if (device->kind->shares_ram)
			sharer = device->kind->shares_ram(device);
	}
	return sharer;
}

/* Says what shared memory costs, where it costs something: the host's default is no huge pages. */
static void warn_of_small_pages(const struct machine *machine)
{
	const char *sharer = find_sharer(&machine->devices);
	char setting[128] = "";
	FILE *file = NULL;

	if (sharer && machine->ram.backing == RAM_MEMFD)
		file = fopen("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "re");
	if (!file)
		return;
	if (fgets(setting, sizeof(setting), file) &&
	    (strstr(setting, "[never]") || strstr(setting, "[deny]")))
		log_warn("with %s guest memory is shared, and this host has no huge pages for "
			 "that: \"echo advise >/sys/kernel/mm/transparent_hugepage/shmem_enabled\" "
			 "allows them",
			 sharer);
	fclose(file);
}

int devices_init(struct machine *machine)
{
	for (size_t row = 0; row < sizeof(kinds) / sizeof(kinds[0]); row++) {
		const struct device_kind *kind = kinds[row].kind;
		unsigned int count = kind->count(machine->config);
		if (count > kinds[row].most) {
			log_error(
				"a guest cannot have %u devices of the kind %s: at most %u are allowed",
				count, kind->name, kinds[row].most);
			return -E2BIG;
		}
		for (unsigned int i = 0; i < count; i++) {
			int error = plug(machine, kind, i, kinds[row].place + i);
			if (error)
				return error;
		}
	}
	warn_of_small_pages(machine);
	return 0;
}

void devices_release(struct machine *machine)
{
	struct device_list *list = &machine->devices;
	while (list->count > 0)
		unplug(list);
}

int devices_start(struct device_list *list, const struct worker_guard *guard)
{
	int error = 0;
	for (unsigned int i = 0; i < list->count && !error; i++)
		error = mmio_slot_start(&list->device[i]->slot, guard);
	return error;
}

void devices_begin(struct device_list *list, bool stop)
{
	for (unsigned int i = 0; i < list->count; i++) {
		struct mmio_slot *slot = &list->device[i]->slot;
		if (stop)
			mmio_slot_ask_to_stop(slot);
		mmio_slot_begin(slot);
	}
}

bool devices_stop(struct device_list *list, uint64_t deadline)
{
	bool all = true;
	for (unsigned int i = 0; i < list->count; i++)
		mmio_slot_ask_to_stop(&list->device[i]->slot);
	for (unsigned int i = 0; i < list->count; i++) {
		const struct device *device = list->device[i];
		if (mmio_slot_stop(&list->device[i]->slot, deadline))
			continue;
		log_warn(
			"the host did not finish the last request of %s %u within ten seconds: ebb "
			"ends without waiting for it",
			device->kind->name, device->number);
		all = false;
	}
	return all;
}

void devices_hold(struct device_list *list, bool held)
{
	for (unsigned int i = 0; i < list->count; i++)
		if (list->device[i]->kind->hold)
			list->device[i]->kind->hold(list->device[i], held);
}

bool devices_explain_crash(const struct device_list *list)
{
	for (unsigned int i = 0; i < list->count; i++) {
		const struct device *device = list->device[i];
		if (device->kind->explain_crash && device->kind->explain_crash(device))
			return true;
	}
	return false;
}

void devices_summarize(const struct device_list *list)
{
	for (unsigned int i = 0; i < list->count; i++)
		if (list->device[i]->kind->summary)
			list->device[i]->kind->summary(list->device[i]);
}

struct device *machine_find(const struct machine *machine, const struct device_kind *kind,
			    unsigned int number)
{
	const struct device_list *list = &machine->devices;
	for (unsigned int i = 0; i < list->count; i++)
		if (list->device[i]->kind == kind && list->device[i]->number == number)
			return list->device[i];
	return NULL;
}
