// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/working_set.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"
#include "vmm/lib/signal_waits.h"
#include "vmm/machine/machine.h"
#include "vmm/mem/present.h"
#include "vmm/mem/private_file.h"
#include "vmm/snapshot/runs.h"
#include "vmm/snapshot/working_set.h"

/* One call reads no more than the disk's read_ahead_kb; this is Linux's default. */
#define CHUNK ((uint64_t)128 << 10)
/* A disk whose queue is full makes a call wait. Then the guest starts, and reads the rest when it uses it. */
#define READ_AHEAD_NS (100 * NS_PER_MS)
/* As in save.c: the first may find too many pieces, and pages are touched meanwhile. */
#define LOOKS 4

/* --- reading ahead ------------------------------------------------------------------------------ */

static void read_ahead(const struct ram *ram, const struct snapshot_memory *memory)
{
	uint64_t deadline = clock_ns() + READ_AHEAD_NS;

	for (unsigned int i = 0; i < memory->runs; i++) {
		const struct gpa_range *run = &memory->run[i];
		uint8_t *hva = ram_at(ram, run->gpa, run->len);
		for (uint64_t at = 0; at < run->len; at += CHUNK) {
			uint64_t left = run->len - at;
			if (clock_ns() >= deadline || signal_waits())
				return;
			/* Advice: where it cannot be followed, the guest reads as it does without. */
			madvise(hva + at, left < CHUNK ? left : CHUNK, MADV_WILLNEED);
		}
	}
}

void working_set_read_ahead(struct machine *machine, int fd, const char *folder)
{
	struct snapshot_memory *memory = malloc(sizeof(*memory));
	struct snapshot_reader reader = {.read = snapshot_read_plain, .ctx = &fd};

	int error = !memory ? -ENOMEM : fd < 0 ? fd : 0;
	if (!error)
		error = snapshot_working_set_read(&reader, &machine->restored_file.id,
						  &machine->ram, memory);
	if (!error)
		read_ahead(&machine->ram, memory);
	else if (error != -ENOENT && error != -EINTR)
		log_warn("the guest's memory is not read ahead: '%s/working-set' cannot be used: "
			 "%s; record it again, or remove it",
			 folder, reader.why[0] ? reader.why : strerror(-error));
	free(memory);
}

/* --- recording ---------------------------------------------------------------------------------- */

/* About 130 KiB. */
struct recording {
	struct machine *machine;
	struct why *why;
	struct snapshot_runs runs;
	struct snapshot_memory memory;
	bool touched[PRESENT_PAGES];
};

static int look_at(struct recording *recording, const struct ram_region *region, uint64_t offset)
{
	uint64_t left = (region->size - offset) / SNAPSHOT_PAGE;
	unsigned int pages = left < PRESENT_PAGES ? (unsigned int)left : PRESENT_PAGES;

	if (atomic_load(&recording->machine->end) != MACHINE_RUNS)
		return -ECANCELED;
	int error =
		ram_touched(&recording->machine->ram, region, offset, pages, recording->touched);
	if (error)
		return why_set(recording->why, error,
			       "the host does not tell which memory the guest uses: %s",
			       strerror(-error));
	for (unsigned int i = 0; i < pages; i++) {
		const struct gpa_range page = {region->gpa + offset + (uint64_t)i * SNAPSHOT_PAGE,
					       SNAPSHOT_PAGE};
		if (recording->touched[i])
			snapshot_runs_add(&recording->runs, region->gpa, &page);
	}
	return 0;
}

static int find_touched(struct recording *recording)
{
	const struct ram *ram = &recording->machine->ram;

	for (int look = 0; look < LOOKS; look++) {
		snapshot_runs_begin(&recording->runs, &recording->memory);
		for (unsigned int i = 0; i < ram->regions; i++) {
			const struct ram_region *region = &ram->region[i];
			for (uint64_t at = 0; at < region->size;
			     at += PRESENT_PAGES * (uint64_t)SNAPSHOT_PAGE) {
				int error = look_at(recording, region, at);
				if (error)
					return error;
			}
		}
		if (snapshot_runs_fit(&recording->runs))
			return 0;
	}
	return why_set(recording->why, -E2BIG,
		       "the memory that the guest uses is in too many pieces: try again");
}

int working_set_can_save(const struct machine *machine, struct why *why)
{
	if (!machine->ram.private_file)
		return why_set(why, -EOPNOTSUPP,
			       "its memory is not read from a snapshot: restore it with --restore");
	if (private_file_was_read(machine->ram.private_file))
		return why_set(why, -EOPNOTSUPP,
			       "it was saved itself, for which all of its memory was read: restore "
			       "another");
	return 0;
}

int working_set_save(struct machine *machine, struct snapshot_writer *writer, uint64_t *pages,
		     struct why *why)
{
	*pages = 0;
	struct recording *recording = calloc(1, sizeof(*recording));
	if (!recording)
		return why_set(why, -ENOMEM, "the host has no memory left");
	recording->machine = machine;
	recording->why = why;
	int error = find_touched(recording);
	if (!error)
		error = snapshot_working_set_write(writer, &machine->restored_file.id,
						   &recording->memory);
	*pages = recording->memory.pages;
	free(recording);
	if (error && !why->text[0])
		why_set(why, error, "its working set cannot be written: %s", strerror(-error));
	return error;
}
