/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first record of a snapshot: which machine it is of. It is compared with the one that is to go on from there; or
 * it tells `ebb clone` which options make that. Thread: any.
 */
#ifndef EBB_SNAPSHOT_SAVED_MACHINE_H
#define EBB_SNAPSHOT_SAVED_MACHINE_H

#include <stdint.h>

#include "vmm/lib/record.h"
#include "vmm/lib/why.h"
#include "vmm/mem/ram.h"

/* More than any machine has. */
#define SAVED_DEVICES_MAX 64

struct saved_device {
	uint32_t id; /* VIRTIO_ID_… */
	uint64_t base;
	uint32_t gsi;
};

/* What options of `ebb run` decide, as far as a snapshot tells it. Nothing of one that was read is trusted. */
struct saved_machine {
	unsigned int cpus;
	unsigned int regions;
	struct gpa_range region[RAM_REGIONS_MAX];
	unsigned int devices;
	struct saved_device device[SAVED_DEVICES_MAX];
	/* Sums of these, which reading fills in. */
	uint64_t memory; /* bytes */
	unsigned int balloons, disks, networks, rngs, vsocks, consoles;
};

/* @arch: this ebb's (arch_map.name). */
void saved_machine_write(const struct saved_machine *machine, const char *arch,
			 struct record *record);
/* Returns 0, or -EINVAL with @why set: it is malformed, or of another architecture or another ebb than this. */
int saved_machine_read(struct record_in *in, const char *arch, struct saved_machine *saved,
		       struct why *why);
/* Returns 0, or -EINVAL with @why set: what differs, and the option that makes @machine the same as @saved. */
int saved_machine_compare(const struct saved_machine *machine, const struct saved_machine *saved,
			  struct why *why);

/*
 * Finds out which machine the snapshot in @folder is of, if it is one that this ebb can go on from; a process that can do
 * nothing else reads it (vmm/lib/confined.h). Returns 0, or -errno after an error message. Thread: main, before there are others.
 */
int saved_machine_find(const char *folder, const char *arch, struct saved_machine *saved);
/* Likewise, here, of the snapshot in the file @fd, which is read from its beginning, and stays open. -errno with @why set. */
int saved_machine_find_in(int fd, const char *arch, struct saved_machine *saved, struct why *why);

#endif
