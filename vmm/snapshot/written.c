// SPDX-License-Identifier: Apache-2.0
#include "vmm/snapshot/written.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/lib/record.h"
#include "vmm/mem/discard.h"

_Static_assert(SNAPSHOT_WRITTEN_HEAD + SNAPSHOT_WRITTEN_MAX * SNAPSHOT_PAGE <= SNAPSHOT_PAYLOAD_MAX,
	       "it is a section like others");

int snapshot_written_write(struct snapshot_writer *writer, uint64_t gpa, uint64_t pages,
			   const void *data)
{
	uint8_t bytes[SNAPSHOT_WRITTEN_HEAD];
	struct record head = {bytes, sizeof(bytes), 0, false};
	size_t len = data ? pages * SNAPSHOT_PAGE : 0;

	record_u64(&head, gpa);
	record_u64(&head, pages);
	uint32_t checksum = snapshot_checksum(0, bytes, sizeof(bytes));
	if (data) {
		checksum = snapshot_checksum(checksum, data, len);
		writer->pages += pages;
	}
	snapshot_write_head(writer, SNAPSHOT_WRITTEN, 0, sizeof(bytes) + len, checksum);
	snapshot_put(writer, bytes, sizeof(bytes));
	return snapshot_put(writer, data, len);
}

/*
 * Gives back what was there before, if it can be given back: at once, also if the guest is to discard by MADV_FREE, after which
 * the zeros would have to be written, and the memory be taken for that.
 */
static bool is_given_back(const struct ram *ram, const struct gpa_range *range, void *hva)
{
	struct discard_step step[DISCARD_STEPS(1)];
	struct discard_result result;

	if (!ram_discard_zeroes(ram))
		return madvise(hva, range->len, MADV_DONTNEED) == 0;
	return ram_discard(ram, range, 1, step, &result) == 1 && step[0].done;
}

int snapshot_written_take(struct snapshot_reader *reader, const struct snapshot_section *section,
			  const struct snapshot_written_ram *ram, void *room,
			  struct gpa_range *range, struct snapshot_written *written)
{
	struct record_in in = {room, section->len, false};

	int error = snapshot_payload(reader, section, room, SNAPSHOT_PAYLOAD_MAX);
	if (error)
		return error;
	uint64_t gpa = record_take_u64(&in);
	uint64_t pages = record_take_u64(&in);
	*range = (struct gpa_range){gpa, pages * SNAPSHOT_PAGE};
	if (in.bad || !pages || gpa % SNAPSHOT_PAGE || pages > UINT64_MAX / SNAPSHOT_PAGE ||
	    !ram->has(ram->ctx, range))
		return snapshot_bad(reader, "it has memory at %#llx, where the guest has none",
				    (unsigned long long)gpa);
	bool zeros = section->len == SNAPSHOT_WRITTEN_HEAD;
	if (!zeros && section->len != SNAPSHOT_WRITTEN_HEAD + range->len)
		return snapshot_bad(reader, "it has less memory at %#llx than it says, or more",
				    (unsigned long long)gpa);
	*(zeros ? &written->zeros : &written->pages) += pages;
	if (written->pages + written->zeros > SNAPSHOT_ROUNDS_MAX * ram->pages)
		return snapshot_bad(reader, "it has the guest's memory too often");
	return 0;
}

static bool has(const void *ctx, const struct gpa_range *range)
{
	return ram_at(ctx, range->gpa, range->len);
}

int snapshot_written_read(struct snapshot_reader *reader, const struct snapshot_section *section,
			  const struct ram *ram, void *room, struct snapshot_written *written)
{
	const struct snapshot_written_ram whole = {has, ram, ram_size(ram) / SNAPSHOT_PAGE};
	struct gpa_range range;

	int error = snapshot_written_take(reader, section, &whole, room, &range, written);
	if (error)
		return error;
	uint8_t *hva = ram_at(ram, range.gpa, range.len);
	if (section->len > SNAPSHOT_WRITTEN_HEAD)
		memcpy(hva, (uint8_t *)room + SNAPSHOT_WRITTEN_HEAD, range.len);
	else if (!is_given_back(ram, &range, hva))
		memset(hva, 0, range.len);
	return 0;
}
