/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A folder with a snapshot and two increments, one based on the other, and RAM of two regions to read them into.
 */
#ifndef EBB_TEST_FAKE_CHAIN_H
#define EBB_TEST_FAKE_CHAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/snapshot/merge.h"

#define PAGE  4096ULL
#define LOW   0x10000ULL
#define HIGH  0x100000000ULL
#define PAGES 64 /* of each region */

extern const struct gpa_range fc_region[2];
extern uint8_t fc_low[PAGES * PAGE], fc_high[PAGES * PAGE];
extern const struct ram fc_ram;
extern char fc_folder[];
extern int fc_dir; /* open */
extern struct snapshot_chain fc_chain;

/* One that is to be written: its lists. And the id of that which was written last. */
extern struct fc_made {
	struct snapshot_memory memory, zeros;
	struct snapshot_id id;
} fc_made;

void fc_setup(void);
void fc_teardown(void);

/* As a writer of snapshots has it; @ctx: the descriptor. */
int fc_write(void *ctx, const void *data, size_t len);
void fc_add(struct snapshot_memory *list, uint64_t gpa, uint64_t pages);
/* Writes "snapshot": an increment of the one that is there, if @is_increment, with @fill in its pages. */
void fc_save(bool is_increment, int fill);

/* Each returns 0, or -errno with fc_chain.why set: opens all; reads RAM; makes "new" of all. */
int fc_open(void);
int fc_open_with(const struct ram *ram);
int fc_read(void);
int fc_merge(void);
/* RAM is as fc_setup() has it. */
void fc_is_restored(void);
/* @way fails, and says @why. */
void fc_fails(int (*way)(void), const char *why);
/* Sets @name to that of layer @n as a base. */
void fc_base_name(unsigned int n, char name[SNAPSHOT_BASE_NAME]);

#endif
