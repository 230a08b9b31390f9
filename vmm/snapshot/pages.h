/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest RAM in a snapshot: first which parts of it there are, then these parts, one after another, at a multiple of
 * 4096 bytes in the file: a reader maps them from there, or reads them.
 *
 * Thread: its owner's, while nothing else accesses guest RAM.
 */
#ifndef EBB_SNAPSHOT_PAGES_H
#define EBB_SNAPSHOT_PAGES_H

#include <stdbool.h>

#include "vmm/mem/ram.h"
#include "vmm/snapshot/stream.h"

#define SNAPSHOT_PAGE 4096U /* on every architecture */
/* Each costs a mapping of the guest that is restored, of 65,530 that a process may have. */
#define SNAPSHOT_RUNS_MAX 4000U

/* Which parts of RAM a snapshot has: they ascend, and each lies in one region. About 64 KiB. */
struct snapshot_memory {
	uint64_t pages; /* in all runs */
	unsigned int runs;
	struct gpa_range run[SNAPSHOT_RUNS_MAX]; /* whole pages */
};

/* Bytes of the longest list of runs. */
#define SNAPSHOT_MEMORY_MAX (12 + 16 * SNAPSHOT_RUNS_MAX)
_Static_assert(SNAPSHOT_MEMORY_MAX <= SNAPSHOT_PAYLOAD_MAX, "the list is a section like others");

/* --- writing --------------------------------------------------------------------------------- */

/* Writes @memory, and all up to the first page. @memory->pages pages must follow. Returns 0 or the first -errno. */
int snapshot_memory_write(struct snapshot_writer *writer, const struct snapshot_memory *memory);
/* Writes the next @count pages. The caller owns @page, which does not change meanwhile. */
int snapshot_pages_write(struct snapshot_writer *writer, const void *page, size_t count);

/* --- reading --------------------------------------------------------------------------------- */

/*
 * Reads @section, of type SNAPSHOT_MEMORY, and all up to the first page, which is at reader->offset then. Checks that
 * all runs lie in @ram. Returns 0, or -errno with reader->why set.
 */
int snapshot_memory_read(struct snapshot_reader *reader, const struct snapshot_section *section,
			 const struct ram *ram, struct snapshot_memory *memory);

/*
 * Reads all pages of @memory into @ram, which reads as zero: pages of zeros are left untouched. Sets *@checksum for
 * snapshot_close(). Returns 0, or -errno with reader->why set: then RAM holds part of a snapshot, and the guest must
 * not run.
 */
int snapshot_pages_read(struct snapshot_reader *reader, const struct snapshot_memory *memory,
			const struct ram *ram, uint32_t *checksum);

/* --- for working_set.h: the list alone ------------------------------------------------------- */

void snapshot_memory_list(struct record *list, const struct snapshot_memory *memory);
/* Reads the rest of @in. Returns 0, or -EINVAL with reader->why set: not a list, or not of @ram. */
int snapshot_memory_take(struct snapshot_reader *reader, struct record_in *in,
			 const struct ram *ram, struct snapshot_memory *memory);

#endif
