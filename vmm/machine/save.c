// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/save.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/zero.h"
#include "vmm/machine/device_blk.h"
#include "vmm/machine/live.h"
#include "vmm/machine/machine.h"
#include "vmm/machine/track.h"
#include "vmm/mem/present.h"
#include "vmm/mem/private_file.h"
#include "vmm/snapshot/runs.h"
#include "vmm/snapshot/saved_machine.h"

/* A disk that has much to do takes seconds to finish it; meanwhile the guest stands still. */
#define SETTLE_LIMIT_NS (10 * NS_PER_S)

/* Pages asked for, checked and written together: a run begins and ends with such a block of its region, unless sparse. */
#define BLOCK_PAGES PRESENT_PAGES
#define BLOCK	    (BLOCK_PAGES * (uint64_t)SNAPSHOT_PAGE)

/* How often RAM is looked through: twice if it is in too many pieces, more if the host takes pages meanwhile. */
#define LOOKS 4

/* The record of a machine with RAM_REGIONS_MAX and DEVICES_MAX is not much more than half of that. */
#define HEAD_SIZE_MAX 1024

/* About 2 MiB, and only while a machine is saved. */
struct saving {
	struct machine *machine;
	struct snapshot_writer *writer;
	struct why *why;
	const struct snapshot_id *base; /* of an increment, if its guest is tracked; or NULL */
	struct snapshot_memory memory, zeros; /* zeros: of an increment */
	uint64_t changed_pages;		      /* pages of an increment that are to be in a run */
	struct snapshot_runs runs;
	struct present_cursor cursor;
	bool present[BLOCK_PAGES], touched[BLOCK_PAGES], changed[BLOCK_PAGES];
	uint8_t room[SNAPSHOT_PAYLOAD_MAX];
	uint8_t block[BLOCK_PAGES * SNAPSHOT_PAGE];
};

/* --- sections ---------------------------------------------------------------------------------- */

static struct record record_begin(struct saving *saving)
{
	return (struct record){saving->room, sizeof(saving->room), 0, false};
}

static int record_end(struct saving *saving, const struct record *record, enum snapshot_type type,
		      uint32_t number)
{
	if (record->full)
		return why_set(saving->why, -E2BIG, "the state of a device is too large to save");
	return snapshot_write(saving->writer, type, number, record->data, record->len);
}

/* Of the block at @offset, or up to @end. */
static int pages_of(uint64_t offset, uint64_t end)
{
	uint64_t left = (end - offset) / SNAPSHOT_PAGE;

	return left < BLOCK_PAGES ? (int)left : (int)BLOCK_PAGES;
}

static int not_told(const struct saving *saving, int error)
{
	return why_set(saving->why, error, "the host does not tell which memory the guest uses: %s",
		       strerror(-error));
}

/* Sets saving->present for the block at @offset in @region, or up to @end. Returns its number of pages, or -errno. */
static int look_at(struct saving *saving, const struct ram_region *region, uint64_t offset,
		   uint64_t end)
{
	int pages = pages_of(offset, end);

	int error = ram_present(&saving->machine->ram, &saving->cursor, region, offset,
				(unsigned int)pages, saving->present);
	return error ? not_told(saving, error) : pages;
}

/*
 * Does not touch pages to find out: those that are not present hold nothing. Those that are still the file's that the
 * guest was restored from would have to be read from storage, while the client waits for the first of them.
 */
static bool holds_something(const struct saving *saving, const uint8_t *block, int pages)
{
	if (private_file_has(saving->machine->ram.private_file, block,
			     (uint64_t)pages * SNAPSHOT_PAGE))
		return true;
	for (int i = 0; i < pages; i++)
		if (saving->present[i] &&
		    !is_zero(block + (size_t)i * SNAPSHOT_PAGE, SNAPSHOT_PAGE))
			return true;
	return false;
}

/*
 * As for holds_something(), what is the file's and was not touched counts as holding something: it is read when it is
 * sent. Returns 0 or -errno.
 */
static int add_pages(struct saving *saving, const struct ram_region *region, uint64_t offset,
		     int pages)
{
	const struct ram *ram = &saving->machine->ram;

	int error = ram_touched(ram, region, offset, (unsigned int)pages, saving->touched);
	if (error)
		return not_told(saving, error);
	for (int i = 0; i < pages; i++) {
		uint64_t at = offset + (uint64_t)i * SNAPSHOT_PAGE;
		const struct gpa_range page = {region->gpa + at, SNAPSHOT_PAGE};
		bool unread = !saving->touched[i] &&
			      private_file_has(ram->private_file, region->hva + at, SNAPSHOT_PAGE);
		if (saving->present[i] && (unread || !is_zero(region->hva + at, SNAPSHOT_PAGE)))
			snapshot_runs_add(&saving->runs, region->gpa, &page);
	}
	return 0;
}

/* Adds a whole block. Returns false if there are too many pieces. */
static bool add_zeros(struct snapshot_memory *zeros, uint64_t region, const struct gpa_range *block)
{
	struct gpa_range *last = zeros->runs ? &zeros->run[zeros->runs - 1] : NULL;
	bool joins = last && block->gpa > region && last->gpa + last->len == block->gpa;

	if (!joins && zeros->runs == SNAPSHOT_RUNS_MAX)
		return false;
	if (joins)
		last->len += block->len;
	else
		zeros->run[zeros->runs++] = *block;
	zeros->pages += block->len / SNAPSHOT_PAGE;
	return true;
}

/* Sets saving->changed for the block. Returns 0 or -errno. */
static int find_changed(struct saving *saving, const struct ram_region *region, uint64_t offset,
			unsigned int pages)
{
	if (!saving->base)
		return ram_changed(&saving->machine->ram, region, offset, pages, saving->changed);
	track_changed(saving->machine, region, offset, pages, saving->changed);
	return 0;
}

/*
 * Of an increment: adds what is not the base's any more, and reads none of the rest, unless gaps must be filled. A block that
 * holds nothing is listed as such: the base may have something there. In others, pages of zeros are holes of the file.
 */
static int add_changed(struct saving *saving, const struct ram_region *region, uint64_t offset,
		       int pages)
{
	const struct gpa_range block = {region->gpa + offset, (uint64_t)pages * SNAPSHOT_PAGE};
	int changed = 0;

	int error = find_changed(saving, region, offset, (unsigned int)pages);
	if (error)
		return not_told(saving, error);
	for (int i = 0; i < pages; i++)
		changed += saving->changed[i];
	/* Only these may hold nothing: of others, the page tables need not be read again. */
	if (changed == pages) {
		int looked = look_at(saving, region, offset, offset + block.len);
		if (looked < 0)
			return looked;
		if (!holds_something(saving, region->hva + offset, pages) &&
		    add_zeros(&saving->zeros, region->gpa, &block))
			return 0;
	}
	for (int i = 0; i < pages; i++) {
		const struct gpa_range page = {block.gpa + (uint64_t)i * SNAPSHOT_PAGE,
					       SNAPSHOT_PAGE};
		if (saving->changed[i])
			snapshot_runs_add(&saving->runs, region->gpa, &page);
	}
	saving->changed_pages += (uint64_t)changed;
	return 0;
}

/* Returns 0 or -errno. */
static int add_block(struct saving *saving, const struct ram_region *region, uint64_t offset,
		     int pages)
{
	const struct gpa_range block = {region->gpa + offset, (uint64_t)pages * SNAPSHOT_PAGE};

	if (saving->writer->increment)
		return add_changed(saving, region, offset, pages);
	if (saving->writer->sparse)
		return add_pages(saving, region, offset, pages);
	if (holds_something(saving, region->hva + offset, pages))
		snapshot_runs_add(&saving->runs, region->gpa, &block);
	return 0;
}

static int look_through(struct saving *saving, const struct ram_region *region)
{
	saving->cursor = (struct present_cursor){0};
	for (uint64_t at = 0; at < region->size; at += BLOCK) {
		int pages = saving->writer->increment ? pages_of(at, region->size)
						      : look_at(saving, region, at, region->size);
		if (pages < 0)
			return pages;
		if (atomic_load(&saving->machine->end) != MACHINE_RUNS)
			return -ECANCELED;
		int error = add_block(saving, region, at, pages);
		if (error)
			return error;
	}
	return 0;
}

/* Lists what the guest uses. */
static int find_memory(struct saving *saving)
{
	const struct ram *ram = &saving->machine->ram;

	for (int look = 0; look < LOOKS; look++) {
		int error = 0;
		snapshot_runs_begin(&saving->runs, &saving->memory);
		saving->zeros.runs = 0;
		saving->zeros.pages = 0;
		saving->changed_pages = 0;
		for (unsigned int i = 0; i < ram->regions && !error; i++)
			error = look_through(saving, &ram->region[i]);
		if (error || snapshot_runs_fit(&saving->runs))
			return error;
	}
	return why_set(saving->why, -E2BIG, "the guest's memory is in too many pieces: try again");
}

/* Copy, then write: the checksum is that of what is written, and the host may take pages (MADV_FREE) meanwhile. */
static int save_block(struct saving *saving, const struct ram_region *region, uint64_t offset,
		      uint64_t end)
{
	int pages = look_at(saving, region, offset, end);

	for (int i = 0; i < pages; i++) {
		size_t at = (size_t)i * SNAPSHOT_PAGE;
		if (saving->present[i])
			memcpy(saving->block + at, region->hva + offset + at, SNAPSHOT_PAGE);
		else
			memset(saving->block + at, 0, SNAPSHOT_PAGE);
	}
	return pages < 0 ? pages
			 : snapshot_pages_write(saving->writer, saving->block, (size_t)pages);
}

static const struct ram_region *region_of(const struct ram *ram, uint64_t gpa)
{
	const struct ram_region *region = ram->region;
	while (gpa - region->gpa >= region->size)
		region++;
	return region;
}

static int save_ram(struct saving *saving)
{
	const struct snapshot_memory *memory = &saving->memory;
	struct machine *machine = saving->machine;
	unsigned int layers;

	saving->base = track_base(machine, &layers);
	if (!saving->writer->increment)
		private_file_note_read(machine->ram.private_file);
	int error = saving->writer->track || saving->writer->increment
			    ? track_look(machine, saving->writer->track, saving->why)
			    : 0;
	if (!error)
		error = find_memory(saving);
	/* Gaps that were filled are the base's pages, and read like all of a whole one. */
	if (!error && saving->writer->increment && memory->pages > saving->changed_pages)
		private_file_note_read(machine->ram.private_file);
	if (!error && saving->writer->increment)
		error = snapshot_base_write(
			saving->writer, saving->base ? saving->base : &machine->restored_file.id,
			&saving->zeros);
	if (!error)
		error = snapshot_memory_write(saving->writer, memory);
	for (unsigned int i = 0; i < memory->runs && !error; i++) {
		const struct gpa_range *run = &memory->run[i];
		const struct ram_region *region = region_of(&saving->machine->ram, run->gpa);
		uint64_t from = run->gpa - region->gpa;
		saving->cursor = (struct present_cursor){0};
		for (uint64_t at = from; at < from + run->len && !error; at += BLOCK)
			error = save_block(saving, region, at, from + run->len);
	}
	return error;
}

static int save_cpus(struct saving *saving)
{
	struct machine *machine = saving->machine;
	int error = 0;

	for (unsigned int i = 0; i < machine->cpus.count && !error; i++) {
		struct record record = record_begin(saving);
		error = arch_vcpu_save(&machine->platform, &machine->cpus.cpu[i].vcpu, &record,
				       saving->why);
		if (!error)
			error = record_end(saving, &record, SNAPSHOT_CPU, i);
	}
	return error;
}

static int save_platform(struct saving *saving)
{
	struct record record = record_begin(saving);

	int error = arch_platform_save(&saving->machine->platform, &record, saving->why);
	if (!error)
		error = record_end(saving, &record, SNAPSHOT_PLATFORM, 0);
	if (error)
		return error;
	record = record_begin(saving);
	serial_save(&saving->machine->serial, &record);
	return record_end(saving, &record, SNAPSHOT_SERIAL, 0);
}

static int save_devices(struct saving *saving)
{
	const struct device_list *list = &saving->machine->devices;
	int error = 0;

	for (unsigned int i = 0; i < list->count && !error; i++) {
		struct record record = record_begin(saving);
		virtio_mmio_save(&list->device[i]->slot.mmio, &record);
		error = record_end(saving, &record, SNAPSHOT_DEVICE, i);
	}
	return error;
}

void machine_describe(const struct machine *machine, struct saved_machine *own)
{
	const struct device_list *list = &machine->devices;
	const struct ram *ram = &machine->ram;

	_Static_assert(DEVICES_MAX <= SAVED_DEVICES_MAX, "they fit");
	*own = (struct saved_machine){
		.cpus = machine->cpus.count, .regions = ram->regions, .devices = list->count};
	for (unsigned int i = 0; i < ram->regions; i++)
		own->region[i] = (struct gpa_range){ram->region[i].gpa, ram->region[i].size};
	for (unsigned int i = 0; i < list->count; i++) {
		const struct device *device = list->device[i];
		own->device[i] = (struct saved_device){
			device->virtio->ops->id, device->slot.place.base, device->slot.place.gsi};
	}
}

int machine_save_head(const struct machine *machine, struct snapshot_writer *writer)
{
	uint8_t room[HEAD_SIZE_MAX];
	struct record record = {room, sizeof(room), 0, false};
	struct saved_machine own;

	machine_describe(machine, &own);
	saved_machine_write(&own, arch_map.name, &record);
	int error = record.full ? -E2BIG : snapshot_begin(writer);
	return error ? error : snapshot_write(writer, SNAPSHOT_MACHINE, 0, record.data, record.len);
}

static int save_standing(struct saving *saving)
{
	int error = machine_save_head(saving->machine, saving->writer);
	return error ? error : save_ram(saving);
}

/* After live_save(), which wrote all but what was written since: the list of memory is empty. */
static int save_rest(struct saving *saving)
{
	int error = live_finish(saving->machine, saving->why);
	return error ? error : snapshot_memory_write(saving->writer, &saving->memory);
}

/* What restoring needs first comes first: see machine_restore(). */
static int save_all(struct saving *saving)
{
	int error = saving->machine->live ? save_rest(saving) : save_standing(saving);
	if (!error)
		error = save_cpus(saving);
	if (!error)
		error = save_platform(saving);
	if (!error)
		error = save_devices(saving);
	if (!error && saving->writer->paused)
		error = snapshot_write(saving->writer, SNAPSHOT_PAUSED, 0, "", 0);
	return error ? error : snapshot_end(saving->writer);
}

/* --- the machine stands still ------------------------------------------------------------------ */

/* Returns 0 once all devices stand still, or -EBUSY with @why set and none of them frozen. */
static int freeze(const struct device_list *list, uint64_t deadline, struct why *why)
{
	for (unsigned int i = 0; i < list->count; i++) {
		const struct device *device = list->device[i];
		if (virtio_core_freeze(&list->device[i]->slot.mmio.core, deadline))
			continue;
		for (unsigned int n = 0; n < i; n++)
			virtio_core_thaw(&list->device[n]->slot.mmio.core);
		return why_set(why, -EBUSY,
			       "the host did not finish the last request of %s %u within ten "
			       "seconds",
			       device->kind->name, device->number);
	}
	return 0;
}

static void thaw(const struct device_list *list)
{
	for (unsigned int i = 0; i < list->count; i++)
		virtio_core_thaw(&list->device[i]->slot.mmio.core);
}

/* The last bytes of what was sent while it ran tell nothing of its pages: what is kept gets others, and says which. */
static void identify(const struct machine *machine, const struct snapshot_writer *writer,
		     struct snapshot_id *id)
{
	const uint64_t now = clock_ns();

	*id = (struct snapshot_id){{0}};
	if (machine->live)
		memcpy(id, &now, sizeof(now));
	else
		memcpy(id, writer->end, sizeof(*id));
}

int machine_save(struct machine *machine, struct snapshot_writer *writer, uint64_t *pages,
		 struct why *why)
{
	struct saving *saving = calloc(1, sizeof(*saving));
	struct snapshot_id id;
	int error = 0;

	if (!saving)
		error = why_set(why, -ENOMEM, "the host has no memory left");
	else if (!cpus_settle(&machine->cpus))
		error = why_set(why, -EBUSY,
				"a virtual CPU waits for a device or for the console: let somebody "
				"read the guest's output, and try again");
	if (!error)
		error = freeze(&machine->devices, clock_ns() + SETTLE_LIMIT_NS, why);
	if (!error) {
		saving->machine = machine;
		saving->writer = writer;
		saving->why = why;
		/* Not in the snapshot, but as old as that, also if the host fails later. */
		error = disks_flush(machine, why);
		if (!error)
			error = save_all(saving);
		if (!error && writer->finish)
			error = writer->finish(writer->ctx);
		thaw(&machine->devices);
	}
	*pages = writer->pages;
	identify(machine, writer, &id);
	if (writer->track || writer->increment)
		track_saved(machine, error ? NULL : &id, !writer->increment);
	free(saving);
	return error;
}
