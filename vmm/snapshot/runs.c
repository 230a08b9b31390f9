// SPDX-License-Identifier: Apache-2.0
#include "vmm/snapshot/runs.h"

#include <string.h>

/* Fewer than there may be: pages that the host takes between two looks (MADV_FREE) can cut a piece in two. */
#define RUNS_AIM (SNAPSHOT_RUNS_MAX - SNAPSHOT_RUNS_MAX / 8)

/* The shortest gaps first. If all of them together are too few, all are filled. */
static void choose(struct snapshot_runs *runs)
{
	runs->more = runs->pieces - RUNS_AIM;
	runs->shorter = 0;
	while (runs->shorter < SNAPSHOT_GAPS - 1 && runs->gaps[runs->shorter] < runs->more)
		runs->more -= runs->gaps[runs->shorter++];
}

void snapshot_runs_begin(struct snapshot_runs *runs, struct snapshot_memory *memory)
{
	if (runs->full)
		choose(runs);
	memset(runs->gaps, 0, sizeof(runs->gaps));
	runs->pieces = runs->end = 0;
	runs->full = false;
	runs->memory = memory;
	memory->runs = 0;
	memory->pages = 0;
}

/* Counts the gap, and returns whether it is to be filled. */
static bool fills(struct snapshot_runs *runs, uint64_t gap)
{
	unsigned int length = 63U - (unsigned int)__builtin_clzll(gap / SNAPSHOT_PAGE);

	runs->gaps[length]++;
	if (length != runs->shorter || !runs->more)
		return length < runs->shorter;
	runs->more--;
	return true;
}

void snapshot_runs_add(struct snapshot_runs *runs, uint64_t region, const struct gpa_range *piece)
{
	struct snapshot_memory *memory = runs->memory;
	uint64_t end = piece->gpa + piece->len;
	/* A run lies in one region. */
	bool beside = runs->end > region;
	uint64_t gap = beside ? piece->gpa - runs->end : 0;

	runs->pieces += !beside || gap;
	runs->end = end;
	bool joins = beside && (!gap || fills(runs, gap));
	if (!joins && memory->runs == SNAPSHOT_RUNS_MAX)
		runs->full = true;
	if (runs->full)
		return;
	if (!joins)
		memory->run[memory->runs++] = (struct gpa_range){piece->gpa, 0};
	struct gpa_range *run = &memory->run[memory->runs - 1];
	memory->pages += (end - run->gpa - run->len) / SNAPSHOT_PAGE;
	run->len = end - run->gpa;
}
