// SPDX-License-Identifier: Apache-2.0
#include "vmm/snapshot/working_set.h"

#include <string.h>

#define SIZE_MOST (sizeof(struct snapshot_id) + SNAPSHOT_MEMORY_MAX)
_Static_assert(SIZE_MOST <= SNAPSHOT_PAYLOAD_MAX, "it is a section like others");

int snapshot_working_set_write(struct snapshot_writer *writer, const struct snapshot_id *id,
			       const struct snapshot_memory *memory)
{
	uint8_t bytes[SIZE_MOST];
	struct record record = {bytes, sizeof(bytes), 0, false};

	record_bytes(&record, id->bytes, sizeof(id->bytes));
	snapshot_memory_list(&record, memory);
	snapshot_begin(writer);
	snapshot_write(writer, SNAPSHOT_WORKING_SET, 0, bytes, record.len);
	return snapshot_end(writer);
}

static int take_set(struct snapshot_reader *reader, const struct snapshot_section *section,
		    const struct snapshot_id *id, const struct ram *ram,
		    struct snapshot_memory *memory)
{
	uint8_t bytes[SIZE_MOST];
	struct record_in in = {bytes, section->len, false};
	struct snapshot_id of = {0};

	int error = snapshot_payload(reader, section, bytes, sizeof(bytes));
	if (error)
		return error;
	record_take_bytes(&in, of.bytes, sizeof(of.bytes));
	if (!in.bad && memcmp(&of, id, sizeof(of)) != 0)
		return snapshot_bad(reader, "it is of another snapshot");
	return snapshot_memory_take(reader, &in, ram, memory);
}

int snapshot_working_set_read(struct snapshot_reader *reader, const struct snapshot_id *id,
			      const struct ram *ram, struct snapshot_memory *memory)
{
	struct snapshot_section section;

	int error = snapshot_open(reader);
	if (!error)
		error = snapshot_next(reader, &section);
	if (!error && section.type != SNAPSHOT_WORKING_SET)
		error = snapshot_bad(reader, "it is no working set");
	if (!error)
		error = take_set(reader, &section, id, ram, memory);
	if (!error)
		error = snapshot_next(reader, &section);
	if (!error && section.type != SNAPSHOT_END)
		error = snapshot_bad(reader, "it has more than a working set");
	return error ? error : snapshot_close(reader, &section, 0, NULL);
}
