// SPDX-License-Identifier: Apache-2.0
#include "vmm/snapshot/pages.h"

#include <errno.h>
#include <string.h>

#include "vmm/lib/record.h"
#include "vmm/lib/zero.h"

/* Read at once. */
#define PIECE (16 * (size_t)SNAPSHOT_PAGE)

/* --- writing --------------------------------------------------------------------------------- */

#define LIST_MAX (sizeof(struct snapshot_id) + SNAPSHOT_MEMORY_MAX)
_Static_assert(LIST_MAX <= SNAPSHOT_PAYLOAD_MAX, "it is a section like others");

static void put_list(struct record *list, const struct snapshot_memory *memory)
{
	record_u32(list, memory->runs);
	record_u64(list, memory->pages);
	for (unsigned int i = 0; i < memory->runs; i++) {
		record_u64(list, memory->run[i].gpa);
		record_u64(list, memory->run[i].len / SNAPSHOT_PAGE);
	}
}

int snapshot_memory_write(struct snapshot_writer *writer, const struct snapshot_memory *memory)
{
	uint8_t bytes[SNAPSHOT_MEMORY_MAX];
	struct record list = {bytes, sizeof(bytes), 0, false};

	put_list(&list, memory);
	if (writer->increment)
		writer->checksum = snapshot_checksum(writer->checksum, bytes, list.len);
	snapshot_write(writer, SNAPSHOT_MEMORY, 0, bytes, list.len);
	snapshot_align(writer);
	return snapshot_write_head(writer, SNAPSHOT_PAGES, 0, memory->pages * SNAPSHOT_PAGE, 0);
}

int snapshot_list_write(struct snapshot_writer *writer, enum snapshot_type type,
			const struct snapshot_id *of, const struct snapshot_memory *memory,
			uint32_t *checksum)
{
	uint8_t bytes[LIST_MAX];
	struct record record = {bytes, sizeof(bytes), 0, false};

	record_bytes(&record, of->bytes, sizeof(of->bytes));
	put_list(&record, memory);
	*checksum = snapshot_checksum(0, bytes, record.len);
	return snapshot_write(writer, type, 0, bytes, record.len);
}

int snapshot_base_write(struct snapshot_writer *writer, const struct snapshot_id *base,
			const struct snapshot_memory *zeros)
{
	writer->increment = true;
	return snapshot_list_write(writer, SNAPSHOT_BASE, base, zeros, &writer->checksum);
}

int snapshot_pages_write(struct snapshot_writer *writer, const void *page, size_t count)
{
	writer->pages += count;
	writer->checksum = snapshot_checksum(writer->checksum, page, count * SNAPSHOT_PAGE);
	return snapshot_put(writer, page, count * SNAPSHOT_PAGE);
}

/* --- reading --------------------------------------------------------------------------------- */

static int take_run(struct snapshot_reader *reader, struct record_in *in, const struct ram *ram,
		    uint64_t least, struct gpa_range *run)
{
	uint64_t gpa = record_take_u64(in);
	uint64_t pages = record_take_u64(in);

	*run = (struct gpa_range){gpa, pages * SNAPSHOT_PAGE};
	if (pages > 0 && pages <= UINT64_MAX / SNAPSHOT_PAGE && gpa >= least &&
	    gpa % SNAPSHOT_PAGE == 0 &&
	    (ram ? ram_at(ram, gpa, run->len) != NULL : run->len <= UINT64_MAX - gpa))
		return 0;
	return snapshot_bad(reader, "it has memory at %#llx, where the guest has none",
			    (unsigned long long)gpa);
}

/* Reads the rest of @in. */
static int take_list(struct snapshot_reader *reader, struct record_in *in, const struct ram *ram,
		     struct snapshot_memory *memory)
{
	uint64_t least = 0, pages = 0;

	memory->runs = record_take_u32(in);
	memory->pages = record_take_u64(in);
	if (memory->runs > SNAPSHOT_RUNS_MAX)
		return snapshot_bad(reader, "its memory is in too many pieces");
	for (unsigned int i = 0; i < memory->runs; i++) {
		struct gpa_range *run = &memory->run[i];
		int error = take_run(reader, in, ram, least, run);
		if (error)
			return error;
		/* No sum wraps: runs are in RAM, and none comes twice. */
		least = run->gpa + run->len;
		pages += run->len / SNAPSHOT_PAGE;
	}
	if (pages != memory->pages || !record_complete(in))
		return snapshot_bad(reader, "its list of memory is malformed");
	return 0;
}

int snapshot_list_read(struct snapshot_reader *reader, const struct snapshot_section *section,
		       const struct ram *ram, struct snapshot_id *of,
		       struct snapshot_memory *memory)
{
	uint8_t bytes[LIST_MAX];
	struct record_in in = {bytes, section->len, false};

	int error = snapshot_payload(reader, section, bytes, sizeof(bytes));
	if (error)
		return error;
	record_take_bytes(&in, of->bytes, sizeof(of->bytes));
	return take_list(reader, &in, ram, memory);
}

int snapshot_memory_read(struct snapshot_reader *reader, const struct snapshot_section *section,
			 const struct ram *ram, struct snapshot_memory *memory, uint32_t *checksum)
{
	uint8_t bytes[SNAPSHOT_MEMORY_MAX];
	struct record_in in = {bytes, section->len, false};
	struct snapshot_section pages;

	int error = snapshot_payload(reader, section, bytes, sizeof(bytes));
	if (!error && checksum)
		*checksum = snapshot_checksum(*checksum, bytes, section->len);
	if (!error)
		error = take_list(reader, &in, ram, memory);
	if (!error)
		error = snapshot_next(reader, &pages);
	if (error)
		return error;
	if (pages.type != SNAPSHOT_PAGES || pages.len != memory->pages * SNAPSHOT_PAGE ||
	    pages.checksum || reader->offset % SNAPSHOT_ALIGNMENT)
		return snapshot_bad(reader, "its memory is not where its list says");
	return 0;
}

/* Reads @len bytes, at most PIECE, to @hva. */
static int read_piece(struct snapshot_reader *reader, uint8_t *hva, size_t len, uint32_t *checksum)
{
	uint8_t piece[PIECE];

	int error = snapshot_take(reader, piece, len);
	if (error)
		return error;
	*checksum = snapshot_checksum(*checksum, piece, len);
	for (size_t at = 0; at < len; at += SNAPSHOT_PAGE)
		if (!is_zero(piece + at, SNAPSHOT_PAGE))
			memcpy(hva + at, piece + at, SNAPSHOT_PAGE);
	return 0;
}

int snapshot_pages_read(struct snapshot_reader *reader, const struct snapshot_memory *memory,
			const struct ram *ram, uint32_t *checksum)
{
	int error = 0;

	for (unsigned int i = 0; i < memory->runs && !error; i++) {
		const struct gpa_range *run = &memory->run[i];
		uint8_t *hva = ram_at(ram, run->gpa, run->len);
		for (uint64_t at = 0; at < run->len && !error; at += PIECE) {
			uint64_t left = run->len - at;
			error = read_piece(reader, hva + at, left < PIECE ? left : PIECE, checksum);
		}
	}
	return error;
}
