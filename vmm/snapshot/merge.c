// SPDX-License-Identifier: Apache-2.0
#include "vmm/snapshot/merge.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/snapshot/runs.h"

/* Copied at once. */
#define PIECE (16 * (uint64_t)SNAPSHOT_PAGE)
/* The first may find too many pieces; all are there, so that the second does not. */
#define LOOKS 2

/* Memory of the guest, and where it is. */
struct piece {
	struct gpa_range range;
	unsigned int layer;
	uint64_t offset; /* in its file */
};

struct merging {
	struct snapshot_chain *chain;
	struct snapshot_writer *writer;
	const struct gpa_range *region;
	unsigned int regions;
	struct piece *piece;
	size_t pieces, room;
	struct snapshot_runs runs;
	struct snapshot_memory memory;
	uint8_t payload[SNAPSHOT_PAYLOAD_MAX];
};

static int fail(const struct merging *merging, int error, const char *why)
{
	snprintf(merging->chain->why, sizeof(merging->chain->why), "%s", why);
	return error;
}

/* --- what there is ------------------------------------------------------------------------------- */

static int add_piece(struct merging *merging, const struct piece *piece)
{
	if (merging->pieces == merging->room) {
		size_t room = merging->room ? 2 * merging->room : 4096;
		struct piece *more = reallocarray(merging->piece, room, sizeof(*more));
		if (!more)
			return fail(merging, -ENOMEM, "the host has no memory left");
		merging->piece = more;
		merging->room = room;
	}
	merging->piece[merging->pieces++] = *piece;
	return 0;
}

static int add_layer(struct merging *merging, unsigned int n)
{
	const struct snapshot_layer *layer = merging->chain->layer[n];
	uint64_t offset = layer->offset;
	int error = 0;

	for (unsigned int i = 0; i < layer->memory.runs; i++) {
		const struct gpa_range *run = &layer->memory.run[i];
		struct gpa_range part = {0};
		while (!error && snapshot_chain_next(merging->chain, n, run, &part)) {
			const struct piece piece = {part, n, offset + (part.gpa - run->gpa)};
			error = add_piece(merging, &piece);
		}
		offset += run->len;
	}
	return error;
}

static int compare(const void *left, const void *right)
{
	const struct piece *a = left, *b = right;

	return a->range.gpa < b->range.gpa ? -1 : a->range.gpa > b->range.gpa;
}

/* Returns the region that has all of @run, or NULL. */
static const struct gpa_range *region_of(const struct merging *merging, const struct gpa_range *run)
{
	for (unsigned int i = 0; i < merging->regions; i++) {
		const struct gpa_range *region = &merging->region[i];
		uint64_t offset = run->gpa - region->gpa;
		if (offset < region->len && run->len <= region->len - offset)
			return region;
	}
	return NULL;
}

static bool is_ram(const struct merging *merging, const struct snapshot_memory *list)
{
	for (unsigned int i = 0; i < list->runs; i++)
		if (!region_of(merging, &list->run[i]))
			return false;
	return true;
}

/* Before anything is read: what is no RAM may be of any size, and could not be restored. */
static int check_lists(const struct merging *merging)
{
	for (unsigned int n = 0; n < merging->chain->count; n++) {
		const struct snapshot_layer *layer = merging->chain->layer[n];
		if (!is_ram(merging, &layer->memory) || !is_ram(merging, &layer->zeros))
			return fail(merging, -EINVAL, "it has memory where the guest has none");
	}
	return 0;
}

static int find_memory(struct merging *merging)
{
	int error = 0;

	for (unsigned int n = 0; n < merging->chain->count && !error; n++)
		error = add_layer(merging, n);
	if (error)
		return error;
	if (merging->pieces)
		qsort(merging->piece, merging->pieces, sizeof(*merging->piece), compare);
	for (int look = 0; look < LOOKS; look++) {
		snapshot_runs_begin(&merging->runs, &merging->memory);
		for (size_t i = 0; i < merging->pieces; i++) {
			const struct gpa_range *range = &merging->piece[i].range;
			snapshot_runs_add(&merging->runs, region_of(merging, range)->gpa, range);
		}
		if (snapshot_runs_fit(&merging->runs))
			return 0;
	}
	return fail(merging, -E2BIG, "the guest's memory is in too many pieces");
}

/* --- what is written ----------------------------------------------------------------------------- */

/* Writes @len bytes: those of @piece, or zeros if that is NULL. */
static int write_bytes(const struct merging *merging, const struct piece *piece, uint64_t len)
{
	uint8_t bytes[PIECE] = {0};

	for (uint64_t done = 0; done < len; done += PIECE) {
		uint64_t size = len - done < PIECE ? len - done : PIECE;
		int fd = piece ? merging->chain->layer[piece->layer]->fd : -1;
		if (piece && pread(fd, bytes, size, (off_t)(piece->offset + done)) != (ssize_t)size)
			return fail(merging, -EIO, "it cannot be read, or has changed");
		int error = snapshot_pages_write(merging->writer, bytes, size / SNAPSHOT_PAGE);
		if (error)
			return error;
	}
	return 0;
}

/* Writes all of @run, beginning with piece *@next. Between pieces are zeros. */
static int write_run(const struct merging *merging, const struct gpa_range *run, size_t *next)
{
	uint64_t end = run->gpa + run->len;
	int error = 0;

	for (uint64_t gpa = run->gpa; gpa < end && !error;) {
		const struct piece *piece = *next < merging->pieces ? &merging->piece[*next] : NULL;
		uint64_t begin = piece && piece->range.gpa < end ? piece->range.gpa : end;
		if (begin > gpa)
			error = write_bytes(merging, NULL, begin - gpa);
		gpa = begin;
		if (error || gpa == end)
			break;
		/* No piece is in two runs: each was added as a whole. */
		error = write_bytes(merging, piece, piece->range.len);
		gpa += piece->range.len;
		++*next;
	}
	return error;
}

static int write_memory(const struct merging *merging)
{
	size_t next = 0;

	int error = snapshot_memory_write(merging->writer, &merging->memory);
	for (unsigned int i = 0; i < merging->memory.runs && !error; i++)
		error = write_run(merging, &merging->memory.run[i], &next);
	return error;
}

/* Copies a section of the increment, or writes what takes its place. */
static int write_section(struct merging *merging, struct snapshot_reader *reader,
			 const struct snapshot_section *section)
{
	struct snapshot_section pages;

	int error = snapshot_payload(reader, section, merging->payload, sizeof(merging->payload));
	if (error || section->type == SNAPSHOT_BASE)
		return error;
	if (section->type != SNAPSHOT_MEMORY)
		return snapshot_write(merging->writer, section->type, section->number,
				      merging->payload, section->len);
	error = snapshot_next(reader, &pages);
	if (!error && lseek(merging->chain->layer[0]->fd, (off_t)pages.len, SEEK_CUR) < 0)
		error = -errno;
	return error ? error : write_memory(merging);
}

static int write_all_sections(struct merging *merging)
{
	struct snapshot_layer *layer = merging->chain->layer[0];
	struct snapshot_reader reader = {.read = snapshot_read_plain, .ctx = &layer->fd};
	struct snapshot_section section = {0};

	int error = lseek(layer->fd, 0, SEEK_SET) < 0 ? -errno : snapshot_open(&reader);
	if (!error)
		error = snapshot_begin(merging->writer);
	while (!error) {
		error = snapshot_next(&reader, &section);
		if (!error && section.type == SNAPSHOT_END)
			return snapshot_end(merging->writer);
		if (!error)
			error = write_section(merging, &reader, &section);
	}
	return reader.why[0] ? fail(merging, error, reader.why) : error;
}

int snapshot_merge(struct snapshot_chain *chain, const struct gpa_range *region,
		   unsigned int regions, struct snapshot_writer *writer)
{
	struct merging *merging = calloc(1, sizeof(*merging));

	chain->why[0] = '\0';
	if (!merging)
		return -ENOMEM;
	merging->chain = chain;
	merging->writer = writer;
	merging->region = region;
	merging->regions = regions;
	int error = check_lists(merging);
	/* Before anything is written: damage must not get a right checksum. */
	for (unsigned int n = 0; n < chain->count && !error; n++)
		error = snapshot_chain_read(chain, n, NULL);
	if (!error)
		error = find_memory(merging);
	if (!error)
		error = write_all_sections(merging);
	free(merging->piece);
	free(merging);
	return error;
}
