/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gives guest memory back to the host. discard_plan(), which is pure, decides what to discard;
 * discard_run() makes the system calls; ram_discard() does both. A caller that needs all of guest
 * memory to stay as it is for a while inhibits discards.
 *
 * Thread: any that may block for the time of the system calls: a device's worker, never a vCPU or
 * the main loop. The caller ensures that the guest does not use the memory meanwhile (the guest's
 * allocator does not hand it out until the report is acknowledged).
 */
#ifndef EBB_MEM_DISCARD_H
#define EBB_MEM_DISCARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/mem/ram.h"

/* What one system call can discard: whole backing pages within one region. */
struct discard_step {
	struct gpa_range range;
	void *hva;
	bool done; /* set by discard_run(): the host has it, may take it (DISCARD_FREE), or it was zeroed instead */
	bool zero; /* done, and sure to read as zero from now on */
};

struct discard_result {
	uint64_t bytes;	    /* given back to the host */
	uint64_t zeroed;    /* bytes kept and filled with zeros instead: see private_file.h */
	uint64_t held_back; /* bytes left alone because discards are inhibited */
	unsigned int calls; /* steps of private_file.h, and other system calls, also failed ones */
	unsigned int failures; /* steps that failed, and ranges (partly) outside RAM */
	int error;	       /* -errno of the first step that failed, or 0 */
};

/* The most steps that @n merged ranges can need: each region's end can cut one range in two. */
#define DISCARD_STEPS(n) ((n) + RAM_REGIONS_MAX)

/*
 * Clips @n ranges (ascending, disjoint) to RAM and rounds each inwards to the backing's pages.
 * @step has room for DISCARD_STEPS(n). Returns the number of steps. Adds to *outside the number of
 * ranges that were not RAM as a whole.
 */
size_t discard_plan(const struct ram *ram, const struct gpa_range *range, size_t n,
		    struct discard_step *step, unsigned int *outside);

/* Runs all steps, also after one fails. Sets each step's @done and @zero. Overwrites *result. */
void discard_run(const struct ram *ram, struct discard_step *step, size_t n,
		 struct discard_result *result);

/* Plans into @step as discard_plan() does, then runs. Returns the number of steps. */
size_t ram_discard(const struct ram *ram, const struct gpa_range *range, size_t n,
		   struct discard_step *step, struct discard_result *result);

/*
 * After ram_discard_inhibit() returns, no discard runs until ram_discard_allow() has been called as
 * often. A discard asked for meanwhile is held back: it is no error, and is not run later. Waits
 * for what runs: a system call, for up to 256 steps, or one step of private_file.h, which may read
 * the step's pages from storage. Any thread, but not from within a discard. Memory that DISCARD_FREE
 * released before may still turn into zeros.
 */
void ram_discard_inhibit(const struct ram *ram);
void ram_discard_allow(const struct ram *ram);

/* Returns the value that discard_step.zero has in a step that is done. */
bool ram_discard_zeroes(const struct ram *ram);

/* Returns the number of callers that inhibit discards now. */
unsigned int ram_discard_inhibits(const struct ram *ram);

#endif
