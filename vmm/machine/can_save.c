// SPDX-License-Identifier: Apache-2.0
/* Which machines can be saved, and restored. */
#include <errno.h>

#include "vmm/machine/machine.h"
#include "vmm/machine/save.h"
#include "vmm/machine/track.h"
#include "vmm/snapshot/chain.h"

/* What machines and their RAM must be for both. */
static int can_either(const struct machine *machine, struct why *why)
{
	int error = arch_can_save(why);
	if (error)
		return error;
	if (machine->ram.backing == RAM_HUGETLBFS)
		return why_set(
			why, -EOPNOTSUPP,
			"memory of huge pages (--mem-backing hugetlbfs) cannot be saved yet");
	if (machine->ram.page_size != SNAPSHOT_PAGE)
		return why_set(why, -EOPNOTSUPP,
			       "only hosts with pages of 4 KiB can save a guest yet");
	return 0;
}

/* Returns the first device that cannot be saved, or NULL. */
static const struct device *find_unsaved(const struct machine *machine)
{
	const struct device_list *list = &machine->devices;

	for (unsigned int i = 0; i < list->count; i++)
		if (!virtio_core_can_save(&list->device[i]->slot.mmio.core))
			return list->device[i];
	return NULL;
}

int machine_can_restore(const struct machine *machine, struct why *why)
{
	int error = can_either(machine, why);
	const struct device *device = error ? NULL : find_unsaved(machine);

	if (device)
		error = why_set(
			why, -EOPNOTSUPP,
			"a device \"%s %u\" cannot be restored yet, and the saved guest had "
			"another or none: give the guest the options that it was started with",
			device->kind->name, device->number);
	return error;
}

int machine_can_save(const struct machine *machine, struct why *why)
{
	int error = can_either(machine, why);
	const struct device *device = error ? NULL : find_unsaved(machine);

	if (device)
		return why_set(why, -EOPNOTSUPP, "its device \"%s %u\" cannot be saved yet: %s",
			       device->kind->name, device->number,
			       device->virtio->save_advice ? device->virtio->save_advice
							   : "start the guest without it");
	if (!error && machine->ram.backing == RAM_ANON && machine->ram.pagemap < 0)
		error = why_set(why, -EOPNOTSUPP,
				"the host does not tell which memory the guest uses: ebb needs "
				"/proc/self/pagemap");
	return error;
}

int machine_can_increment(const struct machine *machine, struct why *why)
{
	unsigned int layers;
	const struct snapshot_id *tracked = track_base(machine, &layers);

	if (!tracked && !machine->ram.private_file)
		return why_set(
			why, -EOPNOTSUPP,
			"nobody knows what it wrote since a snapshot: save it whole with --track, "
			"and the next may be based on that; or save it whole, and restore it with --restore");
	if (tracked && layers == SNAPSHOT_CHAIN_MAX)
		return why_set(
			why, -EOPNOTSUPP,
			"its last snapshot is based on others, %d in all: save it whole with "
			"--track",
			SNAPSHOT_CHAIN_MAX);
	if (!tracked && machine->restored_file.count == SNAPSHOT_CHAIN_MAX)
		return why_set(why, -EOPNOTSUPP,
			       "it goes on from %d snapshots, one based on another: make them one "
			       "(\"ebb snapshot merge\") and go on from that, or save it whole",
			       SNAPSHOT_CHAIN_MAX);
	return machine_can_save(machine, why);
}
