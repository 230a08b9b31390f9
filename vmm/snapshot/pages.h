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

/* Which snapshot: its last bytes, which tell the number of its pages, and their checksum. */
struct snapshot_id {
	uint8_t bytes[SNAPSHOT_END_SIZE];
};

/* --- writing --------------------------------------------------------------------------------- */

/* Writes @memory, and all up to the first page. @memory->pages pages must follow. Returns 0 or the first -errno. */
int snapshot_memory_write(struct snapshot_writer *writer, const struct snapshot_memory *memory);
/*
 * Before that, in an increment: what it has not is as in the snapshot @base, but for @zeros, which reads as zero. The pages'
 * checksum is of this and of the list of memory, too. Returns 0 or the first -errno.
 */
int snapshot_base_write(struct snapshot_writer *writer, const struct snapshot_id *base,
			const struct snapshot_memory *zeros);
/* Writes the next @count pages. The caller owns @page, which does not change meanwhile. */
int snapshot_pages_write(struct snapshot_writer *writer, const void *page, size_t count);

/* --- reading --------------------------------------------------------------------------------- */

/*
 * Reads @section, of type SNAPSHOT_MEMORY, and all up to the first page, which is at reader->offset then. Checks that
 * all runs lie in @ram; if that is NULL, only that they ascend. *@checksum: of an increment, that of the base, then what the
 * checksum of the pages begins with; else NULL. Returns 0, or -errno with reader->why set.
 */
int snapshot_memory_read(struct snapshot_reader *reader, const struct snapshot_section *section,
			 const struct ram *ram, struct snapshot_memory *memory, uint32_t *checksum);

/*
 * Reads all pages of @memory into @ram, which reads as zero: pages of zeros are left untouched. *@checksum: what it begins
 * with (0 without a base), then what snapshot_close() compares. Returns 0, or -errno with reader->why set: then RAM holds
 * part of a snapshot, and the guest must not run.
 */
int snapshot_pages_read(struct snapshot_reader *reader, const struct snapshot_memory *memory,
			const struct ram *ram, uint32_t *checksum);

/* --- a list with the snapshot that it is of: that of the base, and working_set.h's -------------- */

/* A section of type @type. *@checksum: of its payload. Returns 0 or the first -errno. */
int snapshot_list_write(struct snapshot_writer *writer, enum snapshot_type type,
			const struct snapshot_id *of, const struct snapshot_memory *memory,
			uint32_t *checksum);
/* Reads @section. Of runs as snapshot_memory_read(). Returns 0, or -errno with reader->why set. */
int snapshot_list_read(struct snapshot_reader *reader, const struct snapshot_section *section,
		       const struct ram *ram, struct snapshot_id *of,
		       struct snapshot_memory *memory);

#endif
