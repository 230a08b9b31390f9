// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"
#include "vmm/lib/signal_waits.h"
#include "vmm/machine/machine.h"
#include "vmm/machine/save.h"
#include "vmm/machine/working_set.h"
#include "vmm/mem/private_file.h"
#include "vmm/snapshot/chain.h"
#include "vmm/snapshot/saved_machine.h"
#include "vmm/snapshot/written.h"

/* Of a stream: it is a guest's on its way, whose ebb itself waits less. */
#define SILENCE_NS (60 * NS_PER_S)
/* How often a wait for it looks whether ebb is to end. */
#define LOOK_MS 100

struct restoring {
	struct machine *machine;
	struct snapshot_reader reader;
	struct why why;
	const char *folder;
	struct snapshot_files files; /* none of a stream */
	int fd;			     /* of the snapshot */
	bool stream;		     /* or a file */
	bool restore_all;	     /* RAM is read and checked before the guest runs, not mapped */
	struct snapshot_chain chain; /* of files; of a stream, layer[0] alone */
	uint32_t checksum;	     /* of RAM, if restore_all */
	struct snapshot_written written; /* before the list of memory */
	uint8_t room[SNAPSHOT_PAYLOAD_MAX];
};

/* Waits until something comes, or its end. Returns 0 or -errno. */
static int wait_for_stream(int fd)
{
	struct pollfd stream = {.fd = fd, .events = POLLIN};
	uint64_t deadline = clock_ns() + SILENCE_NS;

	for (;;) {
		int ready = poll(&stream, 1, LOOK_MS);
		if (ready > 0)
			return 0;
		if (ready < 0 && errno != EINTR)
			return -errno;
		if (signal_waits())
			return -EINTR;
		if (clock_ns() >= deadline)
			return -ETIMEDOUT;
	}
}

/* Signals are held until the guest runs. */
static int file_read(void *ctx, void *data, size_t len)
{
	struct restoring *restoring = ctx;

	int error = restoring->stream ? wait_for_stream(restoring->fd) : 0;
	return error ? error : snapshot_read_plain(&restoring->fd, data, len);
}

static int take(struct restoring *restoring, enum snapshot_type type, uint32_t number,
		struct record_in *in)
{
	return snapshot_expect(&restoring->reader, type, number, restoring->room, in);
}

/* Why @chain cannot be read. */
static int chain_failed(struct restoring *restoring, int error)
{
	return why_set(&restoring->why, error, "%s", restoring->chain.why);
}

/* Maps what of layer @n is the guest's memory. */
static int map_layer(struct restoring *restoring, unsigned int n)
{
	const struct snapshot_layer *layer = restoring->chain.layer[n];
	const struct snapshot_memory *memory = &layer->memory;
	uint64_t offset = layer->offset, end = offset + memory->pages * SNAPSHOT_PAGE;
	struct stat st;
	int error = 0;

	restored_file_use(&restoring->machine->restored_file, layer->fd);
	if (fstat(layer->fd, &st) < 0)
		return why_set(&restoring->why, -errno, "its size is unknown: %s", strerror(errno));
	if (st.st_size < 0 || (uint64_t)st.st_size < end)
		return snapshot_bad(&restoring->reader, "it is cut short: it ends after %llu bytes",
				    (unsigned long long)st.st_size);
	for (unsigned int i = 0; i < memory->runs && !error; i++) {
		const struct gpa_range *run = &memory->run[i];
		struct gpa_range piece = {0};
		while (!error && snapshot_chain_next(&restoring->chain, n, run, &piece))
			error = ram_map_file(&restoring->machine->ram, &piece, 1, layer->fd,
					     offset + (piece.gpa - run->gpa));
		offset += run->len;
	}
	return error ? why_set(&restoring->why, error,
			       "its memory cannot be mapped: %s; --restore-all reads it instead",
			       strerror(-error))
		     : 0;
}

/* Maps what would be read next, and leaves it out. */
static int map_ram(struct restoring *restoring)
{
	uint64_t len = restoring->chain.layer[0]->memory.pages * SNAPSHOT_PAGE;
	int error = 0;

	for (unsigned int n = 0; n < restoring->chain.count && !error; n++)
		error = map_layer(restoring, n);
	if (!error && lseek(restoring->fd, (off_t)len, SEEK_CUR) < 0)
		error = why_set(&restoring->why, -errno, "it cannot be read: %s", strerror(errno));
	if (error)
		return error;
	restoring->reader.offset += len;
	if (private_file_is_full(restoring->machine->ram.private_file))
		log_warn("the guest's memory is in so many pieces that it can give little of it "
			 "back: \"ebb snapshot merge %s OUT\" joins them",
			 restoring->folder);
	working_set_read_ahead(restoring->machine, restoring->files.working_set, restoring->folder);
	return 0;
}

static int read_ram(struct restoring *restoring)
{
	struct snapshot_layer *layer = restoring->chain.layer[0];
	const struct ram *ram = &restoring->machine->ram;

	restoring->checksum = layer->before;
	int error =
		snapshot_pages_read(&restoring->reader, &layer->memory, ram, &restoring->checksum);
	for (unsigned int n = 1; n < restoring->chain.count && !error; n++) {
		error = snapshot_chain_read(&restoring->chain, n, ram);
		if (error)
			return chain_failed(restoring, error);
	}
	return error;
}

/* Adds what this increment is based on. */
static int add_bases(struct restoring *restoring)
{
	struct snapshot_chain *chain = &restoring->chain;

	if (restoring->stream)
		return snapshot_bad(&restoring->reader,
				    "it is an increment, which goes on from its folder alone: "
				    "\"ebb snapshot merge\" makes a whole snapshot of it");
	int error = snapshot_chain_add_bases(chain, &restoring->files, &restoring->machine->ram);
	return error ? chain_failed(restoring, error) : 0;
}

/* Reads what was sent while the guest ran, which begins with @section, and then the head of the next section into that. */
static int read_written(struct restoring *restoring, struct snapshot_section *section)
{
	const struct ram *ram = &restoring->machine->ram;
	int error = 0;

	if (section->type == SNAPSHOT_WRITTEN && !restoring->restore_all)
		return snapshot_bad(&restoring->reader,
				    "it was sent while its guest ran (--live), and cannot be "
				    "mapped: --restore-all reads it");
	while (!error && section->type == SNAPSHOT_WRITTEN) {
		error = snapshot_written_read(&restoring->reader, section, ram, restoring->room,
					      &restoring->written);
		if (!error)
			error = snapshot_next(&restoring->reader, section);
	}
	return error;
}

static int restore_ram(struct restoring *restoring)
{
	struct snapshot_layer *layer = calloc(1, sizeof(*layer));
	struct snapshot_section section;

	if (!layer)
		return why_set(&restoring->why, -ENOMEM, "the host has no memory left");
	restoring->chain.layer[restoring->chain.count++] = layer;
	layer->fd = fcntl(restoring->fd, F_DUPFD_CLOEXEC, 0);
	if (layer->fd < 0)
		return why_set(&restoring->why, -errno, "it cannot be opened: %s", strerror(errno));
	int error = snapshot_next(&restoring->reader, &section);
	if (!error)
		error = read_written(restoring, &section);
	if (!error)
		error = snapshot_layer_take(layer, &restoring->reader, &section,
					    &restoring->machine->ram);
	const struct snapshot_written *written = &restoring->written;
	if (!error && written->pages + written->zeros &&
	    (layer->is_increment || layer->memory.pages))
		error = snapshot_bad(&restoring->reader,
				     "its memory comes in two ways, of which one must be empty");
	if (!error && layer->is_increment)
		error = add_bases(restoring);
	if (error)
		return error;
	return restoring->restore_all ? read_ram(restoring) : map_ram(restoring);
}

static int restore_cpus(struct restoring *restoring)
{
	struct machine *machine = restoring->machine;
	struct record_in in;
	int error = 0;

	for (unsigned int i = 0; i < machine->cpus.count && !error; i++) {
		error = take(restoring, SNAPSHOT_CPU, i, &in);
		if (!error)
			error = arch_vcpu_restore(&machine->platform, &machine->cpus.cpu[i].vcpu,
						  &in, &restoring->why);
	}
	return error;
}

static int restore_platform(struct restoring *restoring)
{
	struct machine *machine = restoring->machine;
	struct record_in in;

	int error = take(restoring, SNAPSHOT_PLATFORM, 0, &in);
	if (!error)
		error = arch_platform_restore(&machine->platform, &in, &restoring->why);
	if (!error)
		error = take(restoring, SNAPSHOT_SERIAL, 0, &in);
	if (!error && serial_restore(&machine->serial, &in))
		error = why_set(&restoring->why, -EINVAL,
				"the state of its serial port is malformed");
	return error;
}

static int restore_devices(struct restoring *restoring)
{
	const struct device_list *list = &restoring->machine->devices;
	struct record_in in;
	int error = 0;

	for (unsigned int i = 0; i < list->count && !error; i++) {
		error = take(restoring, SNAPSHOT_DEVICE, i, &in);
		if (!error)
			error = virtio_mmio_restore(&list->device[i]->slot.mmio, &in,
						    &restoring->why);
	}
	return error;
}

static int compare(struct restoring *restoring, struct record_in *in)
{
	struct saved_machine own, saved;

	machine_describe(restoring->machine, &own);
	int error = saved_machine_read(in, arch_map.name, &saved, &restoring->why);
	return error ? error : saved_machine_compare(&own, &saved, &restoring->why);
}

/* Also reads the head of the section after it into @section. */
static int restore_paused(struct restoring *restoring, struct snapshot_section *section)
{
	int error = snapshot_payload(&restoring->reader, section, restoring->room, 0);

	restoring->machine->starts_paused = !restoring->machine->config->boot.resume;
	return error ? error : snapshot_next(&restoring->reader, section);
}

/*
 * RAM first: the processors' page tables and the devices' rings are in it. The interrupt controllers after the
 * processors that they interrupt, and before the devices that raise interrupts.
 */
static int restore(struct restoring *restoring)
{
	struct snapshot_section section = {0};
	struct record_in in;

	int error = snapshot_open(&restoring->reader);
	if (!error)
		error = take(restoring, SNAPSHOT_MACHINE, 0, &in);
	if (!error)
		error = compare(restoring, &in);
	if (!error)
		error = restore_ram(restoring);
	if (!error)
		error = restore_cpus(restoring);
	if (!error)
		error = restore_platform(restoring);
	if (!error)
		error = arch_new_generation(&restoring->machine->platform, &restoring->machine->ram,
					    &restoring->why);
	if (!error)
		error = restore_devices(restoring);
	if (!error)
		error = snapshot_next(&restoring->reader, &section);
	if (!error && section.type == SNAPSHOT_PAUSED)
		error = restore_paused(restoring, &section);
	if (!error && section.type != SNAPSHOT_END)
		error = snapshot_bad(&restoring->reader, "it has more sections than this machine");
	return error ? error
		     : snapshot_close(&restoring->reader, &section,
				      restoring->chain.layer[0]->memory.pages +
					      restoring->written.pages,
				      restoring->restore_all ? &restoring->checksum : NULL);
}

static void say_why(const struct restoring *restoring)
{
	const char *why = restoring->why.text[0] ? restoring->why.text : restoring->reader.why;

	if (restoring->stream)
		log_error("cannot restore the snapshot from standard input: %s", why);
	else
		log_error("cannot restore the snapshot in '%s': %s", restoring->folder, why);
}

/* Each later change of what is looked at afterwards makes an event. */
static void watch_files(struct restoring *restoring)
{
	struct restored_file *file = &restoring->machine->restored_file;
	const struct snapshot_files *files = &restoring->files;

	restored_file_watch(file, restoring->machine, files->snapshot);
	for (unsigned int i = 0; i < files->bases; i++)
		if (files->base[i].fd >= 0)
			restored_file_watch(file, restoring->machine, files->base[i].fd);
}

/* Returns 0, or -errno after an error message. */
static int open_files(struct restoring *restoring)
{
	int folder = open(restoring->folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int error = folder < 0 ? -errno : snapshot_files_open(&restoring->files, folder);

	if (folder >= 0)
		close(folder);
	if (error)
		return snapshot_not_opened(restoring->folder, error);
	restoring->fd = restoring->files.snapshot;
	if (!restoring->restore_all)
		watch_files(restoring);
	return 0;
}

int machine_restore_open(struct machine *machine, const char *folder, int stream, bool restore_all)
{
	struct restoring *restoring = calloc(1, sizeof(*restoring));

	machine->restoring = restoring;
	if (!restoring) {
		log_error("cannot restore a guest: the host has no memory left");
		return -ENOMEM;
	}
	restoring->machine = machine;
	restoring->folder = folder;
	restoring->files = (struct snapshot_files)SNAPSHOT_FILES_NONE;
	restoring->stream = strcmp(folder, "-") == 0;
	restoring->fd = stream;
	restoring->reader = (struct snapshot_reader){.read = file_read, .ctx = restoring};
	/* Memory that other processes share, or that is placed at the start, cannot be a mapping of the file. */
	restoring->restore_all = restore_all || restoring->stream ||
				 machine->ram.backing != RAM_ANON || machine->ram.placed;
	int error = restoring->stream ? 0 : open_files(restoring);
	if (error)
		return error;
	error = machine_can_restore(machine, &restoring->why);
	if (!error && !restoring->restore_all && ram_expect_file(&machine->ram) != 0)
		error = why_set(&restoring->why, -ENOMEM, "the host has no memory left");
	if (error)
		say_why(restoring);
	return error;
}

void machine_restore_close(struct machine *machine)
{
	struct restoring *restoring = machine->restoring;

	if (!restoring)
		return;
	snapshot_chain_release(&restoring->chain);
	if (restoring->stream)
		close(restoring->fd);
	snapshot_files_close(&restoring->files);
	free(restoring);
	machine->restoring = NULL;
}

int machine_restore(struct machine *machine)
{
	int error = restore(machine->restoring);

	if (error)
		say_why(machine->restoring);
	machine_restore_close(machine);
	return error;
}
