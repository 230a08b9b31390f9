/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first record of a snapshot: which machine it is of. It is compared with the one that is to go on from there; or
 * it tells `ebb clone` which options make that. Thread: as save.h says; saved_machine_find(): any.
 */
#ifndef EBB_MACHINE_SAVED_MACHINE_H
#define EBB_MACHINE_SAVED_MACHINE_H

#include <stdint.h>

#include "vmm/lib/record.h"
#include "vmm/lib/why.h"
#include "vmm/mem/ram.h"

struct machine;

/* What options of `ebb run` decide, as far as a snapshot tells it. Nothing of it is trusted. */
struct saved_machine {
	unsigned int cpus;
	uint64_t memory; /* bytes */
	unsigned int regions;
	struct gpa_range region[RAM_REGIONS_MAX];
	unsigned int balloons, disks, networks, rngs, vsocks, consoles;
};

void saved_machine_write(const struct machine *machine, struct record *record);
/* Returns 0, or -EINVAL with @why set: what differs, and the option that makes it the same. */
int saved_machine_compare(const struct machine *machine, struct record_in *in, struct why *why);

/*
 * Finds out which machine the snapshot in @folder is of, if it is one that this ebb can go on from. Returns 0, or -errno
 * after an error message.
 */
int saved_machine_find(const char *folder, struct saved_machine *saved);
/* Likewise, of the snapshot in the file @fd, which is read from its beginning, and stays open; @folder is for messages. */
int saved_machine_find_in(int fd, const char *folder, struct saved_machine *saved);
/* For that: reads the record. Returns 0, or -EINVAL with @why set. */
int saved_machine_read(struct record_in *in, struct saved_machine *saved, struct why *why);

#endif
