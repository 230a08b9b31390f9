// SPDX-License-Identifier: Apache-2.0
#include "vmm/snapshot/settle.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/snapshot/chain.h"
#include "vmm/snapshot/runs.h"
#include "vmm/snapshot/written.h"

/* A run begins and ends with such a block of its region, as of a guest that stood still. */
#define BLOCK_PAGES 512U
#define BLOCK	    (BLOCK_PAGES * (uint64_t)SNAPSHOT_PAGE)
/* The first may find too many pieces; the second fills gaps. */
#define LOOKS 2

/* Where in the file the pages of a block are, as they were last; 0: they are zeros. */
struct block {
	uint64_t offset[BLOCK_PAGES];
};

struct settling {
	int fd;
	const struct gpa_range *region;
	unsigned int regions;
	struct block **block[RAM_REGIONS_MAX]; /* of each region; NULL: zeros */
	bool listed;			       /* the list of memory has come */
	struct snapshot_reader reader;
	struct snapshot_writer *writer;
	struct snapshot_written written;
	struct snapshot_runs runs;
	struct snapshot_memory memory;
	uint8_t payload[SNAPSHOT_PAYLOAD_MAX];
};

static uint64_t blocks_of(const struct gpa_range *region)
{
	return region->len / BLOCK + (region->len % BLOCK != 0);
}

/* Returns the region that has all of @range, or -1. */
static int region_of(const struct settling *settling, const struct gpa_range *range)
{
	for (unsigned int i = 0; i < settling->regions; i++) {
		const struct gpa_range *region = &settling->region[i];
		uint64_t offset = range->gpa - region->gpa;
		if (offset < region->len && range->len <= region->len - offset)
			return (int)i;
	}
	return -1;
}

static bool has(const void *ctx, const struct gpa_range *range)
{
	return region_of(ctx, range) >= 0;
}

/* --- what there is ------------------------------------------------------------------------------- */

/* Sets where @range is: its contents at @offset in the file; or 0, if it reads as zero. */
static int place(struct settling *settling, const struct gpa_range *range, uint64_t offset)
{
	int i = region_of(settling, range);
	uint64_t first = (range->gpa - settling->region[i].gpa) / SNAPSHOT_PAGE;

	for (uint64_t n = 0; n < range->len / SNAPSHOT_PAGE; n++) {
		struct block **block = &settling->block[i][(first + n) / BLOCK_PAGES];
		if (!*block && offset)
			*block = calloc(1, sizeof(**block));
		if (!*block && offset)
			return -ENOMEM;
		if (*block)
			(*block)->offset[(first + n) % BLOCK_PAGES] =
				offset ? offset + n * SNAPSHOT_PAGE : 0;
	}
	return 0;
}

static int take_written(struct settling *settling, const struct snapshot_section *section)
{
	struct snapshot_written_ram ram = {has, settling, 0};
	uint64_t begin = settling->reader.offset;
	bool zeros = section->len == SNAPSHOT_WRITTEN_HEAD;
	struct gpa_range range;

	for (unsigned int i = 0; i < settling->regions; i++)
		ram.pages += settling->region[i].len / SNAPSHOT_PAGE;
	int error = snapshot_written_take(&settling->reader, section, &ram, settling->payload,
					  &range, &settling->written);
	return error ? error : place(settling, &range, zeros ? 0 : begin + SNAPSHOT_WRITTEN_HEAD);
}

static bool holds_something(const struct block *block)
{
	for (unsigned int i = 0; block && i < BLOCK_PAGES; i++)
		if (block->offset[i])
			return true;
	return false;
}

static void add_blocks(struct settling *settling, unsigned int i)
{
	const struct gpa_range *region = &settling->region[i];

	for (uint64_t n = 0; n < blocks_of(region); n++) {
		uint64_t left = region->len - n * BLOCK;
		const struct gpa_range block = {region->gpa + n * BLOCK,
						left < BLOCK ? left : BLOCK};
		if (holds_something(settling->block[i][n]))
			snapshot_runs_add(&settling->runs, region->gpa, &block);
	}
}

static int find_memory(struct settling *settling)
{
	for (int look = 0; look < LOOKS; look++) {
		snapshot_runs_begin(&settling->runs, &settling->memory);
		for (unsigned int i = 0; i < settling->regions; i++)
			add_blocks(settling, i);
		if (snapshot_runs_fit(&settling->runs))
			return 0;
	}
	return snapshot_bad(&settling->reader, "the guest's memory is in too many pieces");
}

/* --- what is written ----------------------------------------------------------------------------- */

/* Writes @pages pages of a block, which are zeros where it has none. */
static int write_block(struct settling *settling, const struct block *block, uint64_t pages)
{
	uint8_t page[SNAPSHOT_PAGE];
	int error = 0;

	for (uint64_t i = 0; i < pages && !error; i++) {
		uint64_t offset = block ? block->offset[i] : 0;
		if (!offset)
			memset(page, 0, sizeof(page));
		else if (pread(settling->fd, page, sizeof(page), (off_t)offset) != sizeof(page))
			return snapshot_bad(&settling->reader, "it cannot be read again");
		error = snapshot_pages_write(settling->writer, page, 1);
	}
	return error;
}

static int write_run(struct settling *settling, const struct gpa_range *run)
{
	int i = region_of(settling, run), error = 0;
	uint64_t from = run->gpa - settling->region[i].gpa;

	for (uint64_t at = 0; at < run->len && !error; at += BLOCK) {
		uint64_t left = run->len - at;
		error = write_block(settling, settling->block[i][(from + at) / BLOCK],
				    (left < BLOCK ? left : BLOCK) / SNAPSHOT_PAGE);
	}
	return error;
}

/* In place of the list of memory, which must be empty. */
static int write_memory(struct settling *settling, const struct snapshot_section *section)
{
	int error = snapshot_memory_read(&settling->reader, section, NULL, &settling->memory, NULL);

	settling->listed = true;
	if (!error && settling->memory.pages)
		error = snapshot_bad(&settling->reader,
				     "its memory comes in two ways, of which one must be empty");
	if (!error)
		error = find_memory(settling);
	if (!error)
		error = snapshot_memory_write(settling->writer, &settling->memory);
	for (unsigned int i = 0; i < settling->memory.runs && !error; i++)
		error = write_run(settling, &settling->memory.run[i]);
	return error;
}

static int copy_section(struct settling *settling, const struct snapshot_section *section)
{
	int error = snapshot_payload(&settling->reader, section, settling->payload,
				     sizeof(settling->payload));

	return error ? error
		     : snapshot_write(settling->writer, section->type, section->number,
				      settling->payload, section->len);
}

static int take_section(struct settling *settling, const struct snapshot_section *section)
{
	bool is_memory = section->type == SNAPSHOT_WRITTEN || section->type == SNAPSHOT_MEMORY;

	if (is_memory && settling->listed)
		return snapshot_bad(&settling->reader, "its memory comes after its list");
	if (!is_memory)
		return copy_section(settling, section);
	return section->type == SNAPSHOT_WRITTEN ? take_written(settling, section)
						 : write_memory(settling, section);
}

static int settle(struct settling *settling)
{
	struct snapshot_reader *reader = &settling->reader;
	struct snapshot_section section = {0};
	const uint32_t none = 0;

	int error = lseek(settling->fd, 0, SEEK_SET) < 0 ? -errno : snapshot_open(reader);
	if (!error)
		error = snapshot_begin(settling->writer);
	if (!error)
		error = snapshot_next(reader, &section);
	while (!error && section.type != SNAPSHOT_END) {
		error = take_section(settling, &section);
		if (!error)
			error = snapshot_next(reader, &section);
	}
	if (!error)
		error = snapshot_close(reader, &section, settling->written.pages, &none);
	return error ? error : snapshot_end(settling->writer);
}

static bool make_blocks(struct settling *settling)
{
	for (unsigned int i = 0; i < settling->regions; i++) {
		settling->block[i] =
			calloc(blocks_of(&settling->region[i]) + 1, sizeof(struct block *));
		if (!settling->block[i])
			return false;
	}
	return true;
}

static void free_blocks(struct settling *settling)
{
	for (unsigned int i = 0; i < settling->regions && settling->block[i]; i++) {
		for (uint64_t n = 0; n < blocks_of(&settling->region[i]); n++)
			free(settling->block[i][n]);
		free(settling->block[i]);
	}
}

static const char no_memory[] =
	"no memory is left to put it in order, of which that takes 2 MiB for "
	"each GiB: save it while it is paused, which takes none";

int snapshot_settle(int fd, const struct gpa_range *region, unsigned int regions,
		    struct snapshot_writer *writer, char *why, size_t size)
{
	struct settling *settling = calloc(1, sizeof(*settling));
	int error = -ENOMEM;

	snprintf(why, size, "%s", no_memory);
	if (!settling)
		return error;
	settling->fd = fd;
	settling->region = region;
	settling->regions = regions;
	settling->writer = writer;
	settling->reader =
		(struct snapshot_reader){.read = snapshot_read_plain, .ctx = &settling->fd};
	if (make_blocks(settling))
		error = settle(settling);
	if (error != -ENOMEM || settling->reader.why[0])
		snprintf(why, size, "%s", settling->reader.why);
	free_blocks(settling);
	free(settling);
	return error;
}
