/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest RAM in a snapshot: only pages that hold something, up to 256 in a section, in the order of their
 * addresses. Every page lies at a multiple of 4096 bytes in the file, so that it could be mapped from there.
 *
 * Thread: its owner's, while nothing else accesses guest RAM.
 */
#ifndef EBB_SNAPSHOT_PAGES_H
#define EBB_SNAPSHOT_PAGES_H

#include <stdbool.h>

#include "vmm/mem/ram.h"
#include "vmm/snapshot/stream.h"

#define SNAPSHOT_PAGE	   4096U /* on every architecture */
#define SNAPSHOT_PAGES_MAX 256U	 /* pages in a section */
/* Before the pages: the section's head, two counts, as many runs as there is room for, a checksum. */
#define SNAPSHOT_TABLE	  (SNAPSHOT_PAGE - SNAPSHOT_SECTION)
#define SNAPSHOT_RUNS_MAX ((SNAPSHOT_TABLE - 12) / 16)

/* Pages that follow each other in guest RAM. */
struct snapshot_run {
	uint64_t gpa;
	uint64_t pages;
};

/* Owner: who saves. About 1 MiB: the pages of a section are copied, so that its checksum is that of what is written. */
struct snapshot_pages {
	struct snapshot_writer *writer;
	uint64_t total; /* pages written */
	unsigned int runs, count;
	struct snapshot_run run[SNAPSHOT_RUNS_MAX];
	uint8_t payload[SNAPSHOT_TABLE + SNAPSHOT_PAGES_MAX * SNAPSHOT_PAGE];
};

void snapshot_pages_init(struct snapshot_pages *pages, struct snapshot_writer *writer);
/* Adds the page of guest memory at @hva, unless it holds only zeros. Addresses ascend. Returns 0 or -errno. */
int snapshot_pages_add(struct snapshot_pages *pages, uint64_t gpa, const uint8_t *hva);
/* Writes what waits. Returns 0 or -errno. */
int snapshot_pages_flush(struct snapshot_pages *pages);

/* Where a reader is in guest RAM. All zero at the start. */
struct snapshot_pages_in {
	uint64_t next;	/* the lowest address that the next page may have */
	uint64_t total; /* pages read */
};

/*
 * Reads the payload of @section, of type SNAPSHOT_PAGES, into @ram, whose other pages stay as they are. Returns 0,
 * or -errno with reader->why set: then RAM holds part of a snapshot, and the guest must not run.
 */
int snapshot_pages_read(struct snapshot_reader *reader, const struct snapshot_section *section,
			const struct ram *ram, struct snapshot_pages_in *in);

#endif
