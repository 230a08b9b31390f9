// SPDX-License-Identifier: Apache-2.0
#include "vmm/snapshot/pages.h"

#include <errno.h>
#include <string.h>

#include "vmm/lib/record.h"

/* --- writing --------------------------------------------------------------------------------- */

void snapshot_pages_init(struct snapshot_pages *pages, struct snapshot_writer *writer)
{
	pages->writer = writer;
	pages->total = 0;
	pages->runs = pages->count = 0;
}

static bool is_zero(const uint8_t *page)
{
	return page[0] == 0 && memcmp(page, page + 1, SNAPSHOT_PAGE - 1) == 0;
}

int snapshot_pages_flush(struct snapshot_pages *pages)
{
	struct record table = {pages->payload, SNAPSHOT_TABLE, 0, false};

	if (pages->count == 0)
		return pages->writer->error;
	/* Once, before the first: these sections have whole pages. */
	int error = snapshot_align(pages->writer);
	if (error)
		return error;
	memset(pages->payload, 0, SNAPSHOT_TABLE);
	record_u32(&table, pages->runs);
	record_u32(&table, pages->count);
	for (unsigned int i = 0; i < pages->runs; i++) {
		record_u64(&table, pages->run[i].gpa);
		record_u64(&table, pages->run[i].pages);
	}
	table.len = SNAPSHOT_TABLE - 4;
	snapshot_seal(&table);
	pages->total += pages->count;
	size_t len = SNAPSHOT_TABLE + (size_t)pages->count * SNAPSHOT_PAGE;
	pages->runs = pages->count = 0;
	return snapshot_write(pages->writer, SNAPSHOT_PAGES, 0, pages->payload, len);
}

static bool follows(const struct snapshot_run *run, uint64_t gpa)
{
	return run->gpa + run->pages * SNAPSHOT_PAGE == gpa;
}

int snapshot_pages_add(struct snapshot_pages *pages, uint64_t gpa, const uint8_t *hva)
{
	bool joins = pages->runs && follows(&pages->run[pages->runs - 1], gpa);
	bool full =
		pages->count == SNAPSHOT_PAGES_MAX || (!joins && pages->runs == SNAPSHOT_RUNS_MAX);
	int error = full ? snapshot_pages_flush(pages) : pages->writer->error;

	if (error)
		return error;
	/* Copy, then look: memory that the host may take back (MADV_FREE) can become zero at any time. */
	uint8_t *page = pages->payload + SNAPSHOT_TABLE + (size_t)pages->count * SNAPSHOT_PAGE;
	memcpy(page, hva, SNAPSHOT_PAGE);
	if (is_zero(page))
		return 0;
	if (!joins || full)
		pages->run[pages->runs++] = (struct snapshot_run){gpa, 0};
	pages->run[pages->runs - 1].pages++;
	pages->count++;
	return 0;
}

/* --- reading --------------------------------------------------------------------------------- */

/* Reads the pages of one run into RAM. */
static int read_run(struct snapshot_reader *reader, const struct snapshot_run *run,
		    const struct ram *ram, struct snapshot_pages_in *in, uint32_t *checksum)
{
	uint64_t len = run->pages * SNAPSHOT_PAGE;
	uint8_t *hva = NULL;

	if (run->pages > 0 && run->pages <= SNAPSHOT_PAGES_MAX && run->gpa >= in->next &&
	    run->gpa % SNAPSHOT_PAGE == 0)
		hva = ram_at(ram, run->gpa, len);
	if (!hva)
		return snapshot_bad(reader, "it has memory at %#llx, where the guest has none",
				    (unsigned long long)run->gpa);
	int error = snapshot_take(reader, hva, len);
	if (error)
		return error;
	*checksum = snapshot_checksum(*checksum, hva, len);
	in->next = run->gpa + len;
	in->total += run->pages;
	return 0;
}

int snapshot_pages_read(struct snapshot_reader *reader, const struct snapshot_section *section,
			const struct ram *ram, struct snapshot_pages_in *in)
{
	uint8_t bytes[SNAPSHOT_TABLE];
	struct record_in table = {bytes, sizeof(bytes), false};
	uint64_t pages = in->total;

	if (section->len < SNAPSHOT_TABLE)
		return snapshot_bad(reader, "a section of pages is too short");
	int error = snapshot_take(reader, bytes, sizeof(bytes));
	if (error)
		return error;
	/* Of its own, since RAM is written as the table says before the whole is checked. */
	if (!snapshot_sealed(bytes, sizeof(bytes)))
		return snapshot_damaged(reader);
	uint32_t checksum = snapshot_checksum(0, bytes, sizeof(bytes));
	uint32_t runs = record_take_u32(&table);
	uint32_t count = record_take_u32(&table);
	if (runs > SNAPSHOT_RUNS_MAX || count > SNAPSHOT_PAGES_MAX ||
	    section->len != SNAPSHOT_TABLE + (uint64_t)count * SNAPSHOT_PAGE)
		return snapshot_bad(reader, "a section of pages has a wrong length");
	for (uint32_t i = 0; i < runs; i++) {
		struct snapshot_run run;
		run.gpa = record_take_u64(&table);
		run.pages = record_take_u64(&table);
		if (run.pages > count - (in->total - pages))
			return snapshot_bad(reader, "a section of pages has more than it counts");
		error = read_run(reader, &run, ram, in, &checksum);
		if (error)
			return error;
	}
	if (in->total - pages != count || checksum != section->checksum)
		return snapshot_bad(reader, "its memory is damaged before byte %llu",
				    (unsigned long long)reader->offset);
	return 0;
}
