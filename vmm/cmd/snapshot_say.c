// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "vmm/cmd/snapshot_request.h"
#include "vmm/lib/log.h"
#include "vmm/lib/text.h"

void snapshot_say_saved(const struct request *request, const char *name, uint64_t bytes,
			double stopped)
{
	char size[TEXT_SIZE_MAX], memory[TEXT_SIZE_MAX];

	text_size(size, request->bytes);
	text_size(memory, bytes);
	if (request->live_ms)
		log_info("%s: sent, %s with %s of its memory; it stood still for %.3f s, and does "
			 "so until \"ebb stop --force\", once it runs elsewhere, or \"ebb resume\"",
			 name, size, memory, stopped);
	else if (request->stream)
		log_info("%s: saved, %s with %s of its memory; it stood still for %.3f s", name,
			 size, memory, stopped);
	else if (request->what->is_guest)
		printf("%s: saved in %s, %s with %s of its memory; it stood still for %.3f s\n",
		       name, request->folder, size, memory, stopped);
	else
		printf("%s: has used %s, which is read ahead when %s is restored\n", name, memory,
		       request->folder);
}

/* What is not in the snapshot. Of a guest that is moved these are read-only. */
void snapshot_say_disks(const struct request *request, const char *name, const json_t *disks)
{
	char list[8 * TEXT_MAX] = "", text[TEXT_MAX];
	size_t i, at = 0;
	json_t *disk;

	if (request->copies)
		snapshot_disks_say(&request->disks, &request->file, name);
	if (request->copies || json_array_size(disks) == 0)
		return;
	json_array_foreach(disks, i, disk)
	{
		const char *file = json_string_value(disk);
		text_escape(text, sizeof(text), file ? file : "?", false);
		if (at + strlen(text) + 8 >= sizeof(list)) {
			snprintf(list + at, sizeof(list) - at, ", ...");
			break;
		}
		at += (size_t)snprintf(list + at, sizeof(list) - at, "%s'%s'", i ? ", " : "", text);
	}
	if (request->stream)
		log_info("%s: until it is restored, its disks must not change: %s", name, list);
	else
		printf("%s: until it is restored, its disks must not change: %s\n", name, list);
}
