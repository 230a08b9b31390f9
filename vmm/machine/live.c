// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/live.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"
#include "vmm/lib/text.h"
#include "vmm/machine/device_blk.h"
#include "vmm/machine/machine.h"
#include "vmm/machine/save.h"
#include "vmm/machine/track.h"
#include "vmm/machine/written.h"
#include "vmm/mem/private_file.h"
#include "vmm/snapshot/rounds.h"

/* Before the last one. A guest that writes less in each than in the one before needs a few. */
#define ROUNDS_MAX 30
_Static_assert(ROUNDS_MAX + 1 <= SNAPSHOT_ROUNDS_MAX, "a reader takes them");
/* So many that leave no less than the best one before: it does not converge. */
#define VAIN_MAX 4
/* Fewer bytes tell how large the pipe's buffers are, not how fast the reader is. */
#define TELLING (1U << 20)

struct live {
	struct rounds *rounds;
	struct snapshot_writer *writer;
	uint64_t *log;	   /* KVM's, of a region */
	uint64_t rate;	   /* bytes in a second that the reader takes */
	uint64_t sent, ns; /* in rounds that this is not of yet */
	uint64_t first;	   /* pages of the first round */
	uint64_t least;	   /* pages left, of all rounds */
	int vain;	   /* rounds since that */
};

int live_can(const struct machine *machine, struct why *why)
{
	const struct disk *disk;

	for (unsigned int i = 0; (disk = machine_disk(machine, i)); i++)
		if (!disk_read_only(disk))
			return why_set(why, -EOPNOTSUPP,
				       "it can write to its disk %u, which both hosts would have "
				       "open at once: only disks that are read-only (-d FILE,ro) "
				       "can be shared so; or save it in a folder",
				       i);
	return 0;
}

static bool goes_on(void *ctx)
{
	const struct machine *machine = ctx;
	return atomic_load(&machine->end) == MACHINE_RUNS;
}

/* Finds what was written since the last call. */
static int look(const struct machine *machine, struct why *why)
{
	const struct live *live = machine->live;
	int error = 0;

	/* Before the last round some are left of the look before. */
	for (unsigned int i = 0; i < machine->ram.regions && !error; i++) {
		error = written_take(machine, i, live->log, rounds_next(live->rounds, i), why);
		track_add(machine, i, rounds_next(live->rounds, i));
	}
	return error;
}

static int send_round(const struct machine *machine)
{
	struct live *live = machine->live;
	uint64_t from = live->writer->offset, start = clock_ns();

	int error = rounds_send(live->rounds, goes_on, (void *)machine);
	live->sent += live->writer->offset - from;
	live->ns += clock_ns() - start;
	if (!live->rate || live->sent >= TELLING) {
		live->rate = (uint64_t)((double)live->sent * NS_PER_S / (double)(live->ns + 1)) + 1;
		live->sent = live->ns = 0;
	}
	return error;
}

static double seconds(const struct live *live, uint64_t pages)
{
	return (double)(pages * SNAPSHOT_PAGE) / (double)live->rate;
}

/* Notes whether the round before was in vain. */
static bool is_soon_sent(struct live *live, uint64_t downtime)
{
	uint64_t left = rounds_left(live->rounds);

	live->vain = left < live->least ? 0 : live->vain + 1;
	if (!live->vain)
		live->least = left;
	return seconds(live, left) * NS_PER_S <= (double)downtime;
}

static int never_ends(const struct live *live, int rounds, uint64_t downtime, struct why *why)
{
	char left[TEXT_SIZE_MAX], rate[TEXT_SIZE_MAX];

	text_size(left, live->least * SNAPSHOT_PAGE);
	text_size(rate, live->rate);
	return why_set(why, -EBUSY,
		       "it writes so fast that after %d rounds %s are left, at %s a second too "
		       "much for %.3f s: let it stand still longer (--live=%.0f), or leave out "
		       "--live",
		       rounds, left, rate, (double)downtime / NS_PER_S,
		       seconds(live, live->least) + 1);
}

/* It is to go on elsewhere, where nobody knows its snapshots; and what is read from the logs is gone from there. */
static void stop_tracking(struct machine *machine)
{
	if (machine->track)
		log_warn("what the guest writes is not tracked any more, since it is sent as it "
			 "runs: if it stays here, save it whole with --track again");
	track_end(machine);
}

static int begin(struct machine *machine, struct snapshot_writer *writer, struct why *why)
{
	struct live *live = calloc(1, sizeof(*live));

	if (!writer->stays)
		stop_tracking(machine);
	machine->live = live;
	if (live)
		live->log = calloc(written_log_words(&machine->ram), sizeof(*live->log));
	int error = live && live->log ? rounds_new(&live->rounds, &machine->ram, writer) : -ENOMEM;
	if (error)
		return why_set(why, error, "its memory cannot be followed: %s", strerror(-error));
	live->writer = writer;
	live->least = UINT64_MAX;
	private_file_note_read(machine->ram.private_file);
	if (writer->stays)
		error = writer->track ? track_look(machine, true, why)
				      : track_look_apart(machine, why);
	return error || machine->track ? error : written_begin(machine, why);
}

/* Whatever is left, a guest that stays can stand still for it: once that gets no less, or as much again was written as it has. */
static bool is_enough(const struct live *live)
{
	return live->writer->stays && (live->vain || live->writer->pages >= 2 * live->first);
}

static int send_rounds(struct machine *machine, uint64_t downtime, struct why *why)
{
	struct live *live = machine->live;
	int error = 0, round = 0;

	while (round < ROUNDS_MAX && live->vain < VAIN_MAX) {
		error = send_round(machine);
		if (!round++)
			live->first = live->writer->pages;
		if (!error)
			error = look(machine, why);
		if (error || is_soon_sent(live, downtime) || is_enough(live))
			return error;
	}
	return live->writer->stays ? 0 : never_ends(live, round, downtime, why);
}

int live_save(struct machine *machine, struct snapshot_writer *writer, uint64_t downtime,
	      struct why *why)
{
	int error = machine_save_head(machine, writer);

	if (!error)
		error = begin(machine, writer, why);
	if (!error)
		error = send_rounds(machine, downtime, why);
	if (error)
		live_end(machine);
	if (error && writer->track)
		track_saved(machine, NULL, true);
	return error;
}

int live_finish(struct machine *machine, struct why *why)
{
	int error = look(machine, why);
	return error ? error : send_round(machine);
}

void live_end(struct machine *machine)
{
	if (!machine->live)
		return;
	if (!machine->track)
		written_end(machine);
	live_free(machine);
}

void live_free(struct machine *machine)
{
	if (!machine->live)
		return;
	rounds_free(machine->live->rounds);
	free(machine->live->log);
	free(machine->live);
	machine->live = NULL;
}
