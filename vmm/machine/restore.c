// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/lib/log.h"
#include "vmm/lib/signal_waits.h"
#include "vmm/machine/machine.h"
#include "vmm/machine/save.h"
#include "vmm/machine/saved_machine.h"
#include "vmm/snapshot/pages.h"

struct restoring {
	struct machine *machine;
	struct snapshot_reader reader;
	struct why why;
	uint8_t room[SNAPSHOT_PAYLOAD_MAX];
};

static int file_read(void *ctx, void *data, size_t len)
{
	const int *fd = ctx;
	ssize_t got;

	/* Signals are held until the guest runs. */
	if (signal_waits())
		return -EINTR;
	do
		got = read(*fd, data, len < INT_MAX ? len : INT_MAX);
	while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : (int)got;
}

static int payload(struct restoring *restoring, const struct snapshot_section *section,
		   struct record_in *in)
{
	*in = (struct record_in){restoring->room, section->len, false};
	return snapshot_payload(&restoring->reader, section, restoring->room,
				sizeof(restoring->room));
}

/* Reads the next section, which must be this one: a snapshot has all of them, in one order. */
static int take(struct restoring *restoring, enum snapshot_type type, uint32_t number,
		struct record_in *in)
{
	struct snapshot_section section;

	int error = snapshot_next(&restoring->reader, &section);
	if (error)
		return error;
	if (section.type != type || section.number != number)
		return snapshot_bad(
			&restoring->reader,
			"it has section %u of type %u where this ebb expects section %u of "
			"type %u",
			section.number, section.type, number, type);
	return payload(restoring, &section, in);
}

/* Reads all pages, and the section after them, which must be vCPU 0's, into @in. */
static int restore_ram(struct restoring *restoring, uint64_t *pages, struct record_in *in)
{
	struct snapshot_pages_in at = {0};
	struct snapshot_section section;
	int error;

	for (;;) {
		error = snapshot_next(&restoring->reader, &section);
		if (error || section.type != SNAPSHOT_PAGES)
			break;
		error = snapshot_pages_read(&restoring->reader, &section, &restoring->machine->ram,
					    &at);
		if (error)
			return error;
	}
	*pages = at.total;
	if (!error && (section.type != SNAPSHOT_CPU || section.number != 0))
		error = snapshot_bad(&restoring->reader, "it has no vCPU after its memory");
	return error ? error : payload(restoring, &section, in);
}

/* @in: vCPU 0's record. */
static int restore_cpus(struct restoring *restoring, struct record_in *in)
{
	struct machine *machine = restoring->machine;
	int error = 0;

	for (unsigned int i = 0; i < machine->cpus.count && !error; i++) {
		if (i > 0)
			error = take(restoring, SNAPSHOT_CPU, i, in);
		if (!error)
			error = arch_vcpu_restore(&machine->platform, &machine->cpus.cpu[i].vcpu,
						  in, &restoring->why);
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

/*
 * RAM first: the processors' page tables and the devices' rings are in it. The interrupt controllers after the
 * processors that they interrupt, and before the devices that raise interrupts.
 */
static int restore_all(struct restoring *restoring)
{
	struct snapshot_section section = {0};
	struct record_in in;
	uint64_t pages = 0;

	int error = snapshot_open(&restoring->reader);
	if (!error)
		error = take(restoring, SNAPSHOT_MACHINE, 0, &in);
	if (!error)
		error = saved_machine_compare(restoring->machine, &in, &restoring->why);
	if (!error)
		error = restore_ram(restoring, &pages, &in);
	if (!error)
		error = restore_cpus(restoring, &in);
	if (!error)
		error = restore_platform(restoring);
	if (!error)
		error = restore_devices(restoring);
	if (!error)
		error = snapshot_next(&restoring->reader, &section);
	if (!error && section.type != SNAPSHOT_END)
		error = snapshot_bad(&restoring->reader, "it has more sections than this machine");
	return error ? error : snapshot_close(&restoring->reader, &section, pages);
}

/* Only a plain file: nothing that another could make ebb wait for. */
static int file_open(const char *folder, int *fd)
{
	char path[PATH_MAX];
	struct stat st;
	int error = 0;

	if (snprintf(path, sizeof(path), "%s/snapshot", folder) >= (int)sizeof(path))
		error = -ENAMETOOLONG;
	*fd = error ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (*fd < 0 && !error)
		error = -errno;
	if (error == -ENOENT || error == -ENOTDIR)
		log_error("there is no snapshot in '%s': \"ebb snapshot -n NAME %s\" makes one of "
			  "a running guest",
			  folder, folder);
	else if (error)
		log_error("cannot open the snapshot in '%s': %s", folder, strerror(-error));
	else if (fstat(*fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		log_error("the snapshot in '%s' is no plain file", folder);
		error = -EINVAL;
	}
	return error;
}

int machine_restore(struct machine *machine, const char *folder)
{
	struct restoring *restoring = calloc(1, sizeof(*restoring));
	int fd = -1;

	int error = restoring ? file_open(folder, &fd) : -ENOMEM;
	if (!restoring)
		log_error("cannot restore a guest: the host has no memory left");
	if (error)
		goto out;
	restoring->machine = machine;
	restoring->reader = (struct snapshot_reader){.read = file_read, .ctx = &fd};
	error = machine_can_restore(machine, &restoring->why);
	if (!error)
		error = restore_all(restoring);
	if (error)
		log_error("cannot restore the snapshot in '%s': %s", folder,
			  restoring->why.text[0] ? restoring->why.text : restoring->reader.why);
out:
	if (fd >= 0)
		close(fd);
	free(restoring);
	return error;
}
