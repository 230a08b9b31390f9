/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which runs of guest RAM a snapshot is to have. A guest may use more pieces than a snapshot can list: then gaps between
 * them are filled, the short ones, and only as many as needed. How many that is, and how long they are, is known after all
 * pieces have been seen once: so they are added again.
 *
 * Pure. Thread: its owner's.
 */
#ifndef EBB_SNAPSHOT_RUNS_H
#define EBB_SNAPSHOT_RUNS_H

#include <stdbool.h>

#include "vmm/snapshot/pages.h"

/* Gaps are counted by their length in pages: from 2^i on, and shorter than 2^(i + 1). */
#define SNAPSHOT_GAPS 64

/* All 0 at first. */
struct snapshot_runs {
	struct snapshot_memory *memory;
	/* Fill gaps of fewer than 2^shorter pages, and @more of those that are shorter than 2^(shorter + 1). */
	unsigned int shorter;
	uint64_t more;
	/* Of the pieces added since snapshot_runs_begin(): */
	uint64_t pieces, gaps[SNAPSHOT_GAPS];
	uint64_t end; /* of the last one */
	bool full;
};

/* Empties @memory, and chooses the gaps to fill, if there were too many pieces since the last call. */
void snapshot_runs_begin(struct snapshot_runs *runs, struct snapshot_memory *memory);
/* Adds whole pages of the region that begins at @region. They ascend. */
void snapshot_runs_add(struct snapshot_runs *runs, uint64_t region, const struct gpa_range *piece);

/* Returns whether @memory has all that was added since snapshot_runs_begin(). */
static inline bool snapshot_runs_fit(const struct snapshot_runs *runs)
{
	return !runs->full;
}

#endif
