/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pages of RAM were written since a snapshot, so that the next one saves these alone: for guests whose memory is not a mapping of
 * a snapshot's file, of which the page tables tell that. Who writes is as for live.h: KVM's log and ebb's own are switched on for
 * as long as it is tracked.
 *
 * The logs are read only when the machine is saved, by live.c also while it runs, and last when it stands still: what they had is added to the pages that were written since
 * the base. A snapshot becomes the base of the next once its client has it: until then, whatever fails, the next has all since
 * the base before, and what was written after the one that failed is still in the logs.
 *
 * Owner: struct machine. Thread: the saver's; or main, while nothing is saved, for what asks nothing of KVM: track_last(), track_keep().
 */
#ifndef EBB_MACHINE_TRACK_H
#define EBB_MACHINE_TRACK_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/lib/why.h"
#include "vmm/mem/present.h"
#include "vmm/snapshot/pages.h"

struct machine;

/*
 * The machine is about to be saved, tracked or as an increment: finds what was written until now; with @begin, tracks it from now on, if it
 * is not yet. Does nothing if it is not tracked. Returns 0, or -errno with @why set.
 */
int track_look(struct machine *machine, bool begin, struct why *why);
/* The same of one that is neither tracked nor an increment, but takes from the logs: the last one may still become the base. */
int track_look_apart(struct machine *machine, struct why *why);
/* For live.c, which has taken them from the logs: these pages of @region were written. Does nothing if it is not tracked. */
void track_add(const struct machine *machine, unsigned int region, const uint64_t *bits);
/* It was saved, as @id. Or it was not, or is not kept (NULL): one that has no base is not tracked any more. */
void track_saved(struct machine *machine, const struct snapshot_id *id, bool whole);
/* Returns whether the last one may become the base, and sets *@id. */
bool track_last(const struct machine *machine, struct snapshot_id *id);
/*
 * The snapshot @id, if it was the last one, and none but track_look_apart() looked since, is kept, as the snapshot @as: it is the base from now on.
 * Returns whether it is.
 */
bool track_keep(struct machine *machine, const struct snapshot_id *id,
		const struct snapshot_id *as);

/* Returns what the next increment is based on, and sets *@layers to how many snapshots that takes; or NULL if there is none. */
const struct snapshot_id *track_base(const struct machine *machine, unsigned int *layers);
/* As ram_changed(), against that. */
void track_changed(const struct machine *machine, const struct ram_region *region, uint64_t offset,
		   unsigned int pages, bool changed[PRESENT_PAGES]);

/* Nothing is logged any more for it. */
void track_end(struct machine *machine);
/* The same of a machine that has ended: asks nothing of KVM. Thread: main. */
void track_free(struct machine *machine);

#endif
