/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot as a stream of sections, each with its length and checksums: docs/snapshot-format.md. It is written
 * and read from its beginning to its end, so that it can go through a pipe.
 *
 * Nothing in a snapshot is trusted. A reader finds every byte that changed, was lost or was added, says so in
 * words, and needs no more memory than its caller gives it.
 *
 * Pure: bytes go and come through the caller's functions. Thread: its owner's.
 */
#ifndef EBB_SNAPSHOT_STREAM_H
#define EBB_SNAPSHOT_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/lib/record.h"

#define SNAPSHOT_VERSION   4
#define SNAPSHOT_HEAD	   32	/* bytes before the first section */
#define SNAPSHOT_SECTION   32	/* bytes before a section's payload */
#define SNAPSHOT_END_SIZE  16	/* bytes of the last payload, which are the last bytes of all */
#define SNAPSHOT_ALIGNMENT 4096 /* bytes: of the first page */
/* The most bytes of a payload, except of SNAPSHOT_PAGES (pages.h). */
#define SNAPSHOT_PAYLOAD_MAX ((size_t)64 << 10)

/* Of a section. Numbers never change their meaning; see docs/snapshot-format.md for the payloads. */
enum snapshot_type {
	SNAPSHOT_FILLER = 1,
	SNAPSHOT_MACHINE = 2,
	SNAPSHOT_MEMORY = 3,
	SNAPSHOT_PLATFORM = 4,
	SNAPSHOT_CPU = 5,
	SNAPSHOT_SERIAL = 6,
	SNAPSHOT_DEVICE = 7,
	SNAPSHOT_END = 8,
	SNAPSHOT_PAGES = 9,
	SNAPSHOT_WORKING_SET = 10, /* not in a snapshot: working_set.h */
	SNAPSHOT_BASE = 11,
	SNAPSHOT_WRITTEN = 12, /* written.h */
	SNAPSHOT_PAUSED = 13,
};

struct snapshot_section {
	uint32_t type;
	uint32_t number; /* of a vCPU or a device; else 0 */
	uint64_t len;	 /* bytes of the payload */
	uint32_t checksum;
};

/* --- writing --------------------------------------------------------------------------------- */

struct snapshot_writer {
	/* Writes all of @data. Returns 0 or -errno. */
	int (*write)(void *ctx, const void *data, size_t len);
	void *ctx;
	/* The caller's: machine_save() calls it when all is written, and the machine still stands still. Returns 0 or -errno. Or NULL. */
	int (*finish)(void *ctx);
	/* The caller's, for who chooses the pages: see machine_save(). Increment: it has a base, also pages.h's. */
	bool sparse, increment;
	bool track; /* the caller's: what is written from now on is to be known */
	bool stays; /* the caller's: saved while it runs, it goes on here, and need not be sent within any time */
	bool paused;	 /* the caller's, too: the guest was so before it was stopped to be saved */
	uint64_t offset; /* bytes written */
	uint64_t pages;	 /* of guest RAM written: see pages.h */
	uint32_t checksum; /* of the pages */
	uint32_t sections;
	uint8_t end[SNAPSHOT_END_SIZE]; /* the last bytes, once they are written */
	int error;			/* the first -errno: afterwards nothing is written */
};

/* Each returns 0 or the first -errno. */
int snapshot_begin(struct snapshot_writer *writer);
int snapshot_write(struct snapshot_writer *writer, enum snapshot_type type, uint32_t number,
		   const void *payload, size_t len);
/* Fills up so that the payload of the next section begins at a multiple of SNAPSHOT_ALIGNMENT bytes. */
int snapshot_align(struct snapshot_writer *writer);
/* The last section, which says that nothing is missing. */
int snapshot_end(struct snapshot_writer *writer);

/* For pages.h: a section's head, whose payload follows; bytes of a payload. */
int snapshot_write_head(struct snapshot_writer *writer, enum snapshot_type type, uint32_t number,
			uint64_t len, uint32_t checksum);
int snapshot_put(struct snapshot_writer *writer, const void *data, size_t len);

/* --- reading --------------------------------------------------------------------------------- */

struct snapshot_reader {
	/* Reads up to @len bytes. Returns how many, 0 at the end, or -errno. */
	int (*read)(void *ctx, void *data, size_t len);
	void *ctx;
	uint64_t offset; /* bytes read */
	uint32_t sections;
	char why[160]; /* after an error: what is wrong with the snapshot, "it …" */
};

/* Reads the head. Each returns 0, or -errno with reader->why set. */
int snapshot_open(struct snapshot_reader *reader);
/* Reads the next section's head, past fillers. The caller reads the payload before the next call. */
int snapshot_next(struct snapshot_reader *reader, struct snapshot_section *section);
/* Reads and checks the payload of @section, which must have at most @size bytes. */
int snapshot_payload(struct snapshot_reader *reader, const struct snapshot_section *section,
		     void *payload, size_t size);
/*
 * Reads the next section into @room, which has SNAPSHOT_PAYLOAD_MAX bytes, and to which *@in leads. It must be this one: a
 * snapshot has all of them, in one order.
 */
int snapshot_expect(struct snapshot_reader *reader, enum snapshot_type type, uint32_t number,
		    void *room, struct record_in *in);
/*
 * Reads the payload of SNAPSHOT_END, which must be of @pages pages with this checksum (NULL: they were not read), and
 * finds nothing after it.
 */
int snapshot_close(struct snapshot_reader *reader, const struct snapshot_section *section,
		   uint64_t pages, const uint32_t *checksum);

/* For pages.h. All of @len bytes; and -EINVAL, after setting reader->why as printf does, or to where it is damaged. */
int snapshot_take(struct snapshot_reader *reader, void *data, size_t len);
__attribute__((format(printf, 2, 3))) int snapshot_bad(struct snapshot_reader *reader,
						       const char *format, ...);

/* CRC-32C of @len bytes that follow those of the checksum @before (0 for the first). */
uint32_t snapshot_checksum(uint32_t before, const void *data, size_t len);

#endif
