// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/track.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/machine/machine.h"
#include "vmm/machine/written.h"
#include "vmm/mem/dirty_log.h"

#define BITS 64U

struct track {
	struct snapshot_id base, last;
	unsigned int base_layers, last_layers; /* 0: there is none */
	uint64_t *since[RAM_REGIONS_MAX]; /* the base: a bit for each page, up to the last look */
	uint64_t *late
		[RAM_REGIONS_MAX]; /* of these, what is known to be written after the last one; none if there is no last one */
	uint64_t *log; /* KVM's, of a region */
};

static bool make(struct track *track, const struct ram *ram)
{
	for (unsigned int i = 0; i < ram->regions; i++) {
		track->since[i] = calloc(dirty_log_words(ram, &ram->region[i]), sizeof(uint64_t));
		track->late[i] = calloc(dirty_log_words(ram, &ram->region[i]), sizeof(uint64_t));
		if (!track->since[i] || !track->late[i])
			return false;
	}
	track->log = calloc(written_log_words(ram), sizeof(uint64_t));
	return track->log;
}

static int begin(struct machine *machine, struct why *why)
{
	machine->track = calloc(1, sizeof(*machine->track));
	if (!machine->track || !make(machine->track, &machine->ram)) {
		track_free(machine);
		return why_set(why, -ENOMEM, "the host has no memory left to track what it writes");
	}
	int error = written_begin(machine, why);
	if (error)
		track_end(machine);
	return error;
}

/* What was written since the last one is not apart from the rest any more: if it is kept, it comes too late. */
static void forget_last(struct machine *machine)
{
	const struct ram *ram = &machine->ram;
	struct track *track = machine->track;

	track->last_layers = 0;
	for (unsigned int i = 0; i < ram->regions; i++)
		for (size_t w = 0; w < dirty_log_words(ram, &ram->region[i]); w++) {
			track->since[i][w] |= track->late[i][w];
			if (track->late[i][w])
				track->late[i][w] = 0;
		}
}

static uint64_t *taken(const struct track *track, unsigned int region)
{
	return track->last_layers ? track->late[region] : track->since[region];
}

int track_look_apart(struct machine *machine, struct why *why)
{
	struct track *track = machine->track;
	int error = 0;

	for (unsigned int i = 0; track && i < machine->ram.regions; i++) {
		int failed = written_take(machine, i, track->log, taken(track, i), why);
		error = error ? error : failed;
	}
	return error;
}

int track_look(struct machine *machine, bool begins, struct why *why)
{
	if (!machine->track)
		return begins ? begin(machine, why) : 0;
	forget_last(machine);
	return track_look_apart(machine, why);
}

void track_add(const struct machine *machine, unsigned int region, const uint64_t *bits)
{
	const struct track *track = machine->track;

	if (!track)
		return;
	for (size_t w = 0; w < dirty_log_words(&machine->ram, &machine->ram.region[region]); w++)
		taken(track, region)[w] |= bits[w];
}

/* How many snapshots an increment is based on: until one is kept, those that the guest was restored from. */
static unsigned int layers_below(const struct machine *machine)
{
	unsigned int tracked = machine->track->base_layers;

	return tracked ? tracked : machine->restored_file.count;
}

void track_saved(struct machine *machine, const struct snapshot_id *id, bool whole)
{
	struct track *track = machine->track;

	if (!track)
		return;
	if (id) {
		track->last = *id;
		track->last_layers = 1 + (whole ? 0 : layers_below(machine));
		return;
	}
	forget_last(machine);
	if (!track->base_layers)
		track_end(machine);
}

bool track_last(const struct machine *machine, struct snapshot_id *id)
{
	const struct track *track = machine->track;

	if (!track || !track->last_layers)
		return false;
	*id = track->last;
	return true;
}

bool track_keep(struct machine *machine, const struct snapshot_id *id, const struct snapshot_id *as)
{
	const struct ram *ram = &machine->ram;
	struct track *track = machine->track;

	if (!track || !track->last_layers || memcmp(&track->last, id, sizeof(*id)) != 0)
		return false;
	track->base = *as;
	track->base_layers = track->last_layers;
	for (unsigned int i = 0; i < ram->regions; i++)
		memset(track->since[i], 0,
		       dirty_log_words(ram, &ram->region[i]) * sizeof(uint64_t));
	forget_last(machine);
	return true;
}

const struct snapshot_id *track_base(const struct machine *machine, unsigned int *layers)
{
	const struct track *track = machine->track;

	*layers = track ? track->base_layers : 0;
	return *layers ? &track->base : NULL;
}

void track_changed(const struct machine *machine, const struct ram_region *region, uint64_t offset,
		   unsigned int pages, bool changed[PRESENT_PAGES])
{
	const uint64_t *since = machine->track->since[region - machine->ram.region];
	uint64_t first = offset / machine->ram.page_size;

	for (unsigned int i = 0; i < pages; i++)
		changed[i] = since[(first + i) / BITS] >> (first + i) % BITS & 1;
}

void track_end(struct machine *machine)
{
	if (!machine->track)
		return;
	written_end(machine);
	track_free(machine);
}

void track_free(struct machine *machine)
{
	struct track *track = machine->track;

	for (unsigned int i = 0; track && i < machine->ram.regions; i++) {
		free(track->since[i]);
		free(track->late[i]);
	}
	if (track)
		free(track->log);
	free(track);
	machine->track = NULL;
}
