/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest RAM in a stream that is sent while its guest runs: pages as they come, each as often as it was written, of which the last
 * counts (docs/snapshot-format.md). They take the place of the list of memory and of its pages, which are empty then.
 *
 * Saved in a folder, they are put in order afterwards (settle.h).
 *
 * Thread: its owner's.
 */
#ifndef EBB_SNAPSHOT_WRITTEN_H
#define EBB_SNAPSHOT_WRITTEN_H

#include "vmm/snapshot/pages.h"

/* The most pages with contents in one section. */
#define SNAPSHOT_WRITTEN_MAX  15U
#define SNAPSHOT_WRITTEN_HEAD 16 /* bytes before them */
/* How often all of RAM can come: more is no guest on its way, and would never end. */
#define SNAPSHOT_ROUNDS_MAX 32U

/*
 * Writes @pages pages that begin at @gpa: the contents @data, of at most SNAPSHOT_WRITTEN_MAX; or NULL, any number in one region, if
 * they read as zero and did not before. Returns 0 or the first -errno.
 */
int snapshot_written_write(struct snapshot_writer *writer, uint64_t gpa, uint64_t pages,
			   const void *data);

/* What has come so far; all zero at first. */
struct snapshot_written {
	uint64_t pages; /* with contents */
	uint64_t zeros; /* pages */
};

/* What they must lie in. */
struct snapshot_written_ram {
	bool (*has)(const void *ctx, const struct gpa_range *range); /* in one region */
	const void *ctx;
	uint64_t pages; /* of all of it */
};

/*
 * Reads @section, of type SNAPSHOT_WRITTEN, to @room (SNAPSHOT_PAYLOAD_MAX bytes), checks it, and counts it in @written. Sets *@range,
 * a page or more, whose contents follow SNAPSHOT_WRITTEN_HEAD bytes in @room and end the section; there are none if it reads as zero.
 * Returns 0, or -errno with reader->why set.
 */
int snapshot_written_take(struct snapshot_reader *reader, const struct snapshot_section *section,
			  const struct snapshot_written_ram *ram, void *room,
			  struct gpa_range *range, struct snapshot_written *written);
/*
 * Reads @section, of type SNAPSHOT_WRITTEN, and checks it as a whole; then changes @ram, which nothing else uses, and counts it in
 * @written. @room: SNAPSHOT_PAYLOAD_MAX bytes. Returns 0, or -errno with reader->why set.
 */
int snapshot_written_read(struct snapshot_reader *reader, const struct snapshot_section *section,
			  const struct ram *ram, void *room, struct snapshot_written *written);

#endif
