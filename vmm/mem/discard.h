/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Giving guest memory back to the host: what to discard is decided by discard_plan(), which is
 * pure; discard_run() makes the system calls; ram_discard() is the two together. Whoever needs all
 * of guest memory to stay as it is for a while inhibits discarding.
 *
 * Thread: any that may block for the time of the system calls: a device's worker, never a vCPU or
 * the main loop. The caller sees to it that the guest does not use the memory meanwhile (it is out
 * of the guest's allocator until the report is acknowledged).
 */
#ifndef EBB_MEM_DISCARD_H
#define EBB_MEM_DISCARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/mem/ram.h"

/* One system call's worth at most: whole backing pages within one region. */
struct discard_step {
	struct gpa_range range;
	void *hva;
	bool done; /* set by discard_run(): the host has it back, or (DISCARD_FREE) may take it */
	bool zero; /* done, and reads as zero from now on */
};

struct discard_result {
	uint64_t bytes;	       /* given back to the host */
	uint64_t held_back;    /* left alone because discarding is inhibited */
	unsigned int calls;    /* system calls that discarded, or were refused */
	unsigned int failures; /* steps the host refused, and ranges (partly) outside RAM */
	int error;	       /* -errno of the first refused step, or 0 */
};

/* How many steps @n sorted, merged ranges can need: a region's end can cut one range each. */
#define DISCARD_STEPS(n) ((n) + RAM_REGIONS_MAX)

/*
 * Clips @n ranges (ascending, disjoint) to RAM and rounds each inwards to the backing's pages.
 * @step has room for DISCARD_STEPS(n). Returns the number of steps; adds to *outside the number of
 * ranges of which some part was not RAM.
 */
size_t discard_plan(const struct ram *ram, const struct gpa_range *range, size_t n,
		    struct discard_step *step, unsigned int *outside);

/* Runs all steps, marks those that succeeded, goes on after a failure. Overwrites *result. */
void discard_run(const struct ram *ram, struct discard_step *step, size_t n,
		 struct discard_result *result);

/* Plans and runs; @step as for discard_plan(), *result overwritten. Returns the number of steps. */
size_t ram_discard(const struct ram *ram, const struct gpa_range *range, size_t n,
		   struct discard_step *step, struct discard_result *result);

/*
 * Once ram_discard_inhibit() is back no discard is running, nor will one start until
 * ram_discard_allow() has been called as often: what is asked for meanwhile is held back, without an
 * error, and not made good later. It waits for one system call at most. Any thread, but not from
 * within a discard. What DISCARD_FREE let go of before may still turn into zeros.
 */
void ram_discard_inhibit(const struct ram *ram);
void ram_discard_allow(const struct ram *ram);
/*
 * Whether what was discarded reads as zero from then on, and not only when the host gets round to it:
 * what discard_step.zero of a step that is done comes to.
 */
bool ram_discard_zeroes(const struct ram *ram);

/* How often it is inhibited now. */
unsigned int ram_discard_inhibits(const struct ram *ram);

#endif
