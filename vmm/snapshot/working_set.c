// SPDX-License-Identifier: Apache-2.0
#include "vmm/snapshot/working_set.h"

#include <string.h>

int snapshot_working_set_write(struct snapshot_writer *writer, const struct snapshot_id *id,
			       const struct snapshot_memory *memory)
{
	uint32_t checksum;

	snapshot_begin(writer);
	snapshot_list_write(writer, SNAPSHOT_WORKING_SET, id, memory, &checksum);
	return snapshot_end(writer);
}

static int take_set(struct snapshot_reader *reader, const struct snapshot_section *section,
		    const struct snapshot_id *id, const struct ram *ram,
		    struct snapshot_memory *memory)
{
	struct snapshot_id of = {0};

	int error = snapshot_list_read(reader, section, ram, &of, memory);
	if (!error && memcmp(&of, id, sizeof(of)) != 0)
		error = snapshot_bad(reader, "it is of another snapshot");
	return error;
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
