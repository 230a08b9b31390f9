// SPDX-License-Identifier: Apache-2.0
#include "vmm/snapshot/saved_machine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/lib/confined.h"
#include "vmm/lib/log.h"
#include "vmm/lib/version.h"
#include "vmm/snapshot/chain.h"
#include "vmm/snapshot/files.h"
#include "vmm/snapshot/stream.h"

#define NAME_SIZE 16
/* Of reading the first record. */
#define CPU_S	 10
#define LIMIT_MS 60000

/* --- writing --------------------------------------------------------------------------------- */

static void put_name(struct record *record, const char *name)
{
	char field[NAME_SIZE] = "";
	snprintf(field, sizeof(field), "%s", name);
	record_bytes(record, field, sizeof(field));
}

void saved_machine_write(const struct saved_machine *machine, const char *arch,
			 struct record *record)
{
	put_name(record, arch);
	put_name(record, EBB_VERSION);
	record_u32(record, machine->cpus);
	record_u32(record, machine->regions);
	for (unsigned int i = 0; i < machine->regions; i++) {
		record_u64(record, machine->region[i].gpa);
		record_u64(record, machine->region[i].len);
	}
	record_u32(record, machine->devices);
	for (unsigned int i = 0; i < machine->devices; i++) {
		record_u32(record, machine->device[i].id);
		record_u64(record, machine->device[i].base);
		record_u32(record, machine->device[i].gsi);
	}
}

/* --- reading --------------------------------------------------------------------------------- */

static void take_name(struct record_in *in, char name[NAME_SIZE])
{
	record_take_bytes(in, name, NAME_SIZE);
	/* It goes into a message. */
	name[NAME_SIZE - 1] = '\0';
	for (char *c = name; *c; c++)
		if (*c <= ' ' || *c > '~')
			*c = '?';
}

static int compare_names(struct record_in *in, const char *arch, struct why *why)
{
	char saved_arch[NAME_SIZE], version[NAME_SIZE];

	take_name(in, saved_arch);
	take_name(in, version);
	if (strcmp(saved_arch, arch) != 0)
		return why_set(why, -EINVAL, "it is of a machine of another architecture (%s)",
			       saved_arch);
	/* Other versions may have the same form of snapshots, but other machines in them. */
	if (strcmp(version, EBB_VERSION) != 0)
		return why_set(why, -EINVAL, "it was saved by ebb %s, and this is ebb %s", version,
			       EBB_VERSION);
	return 0;
}

static void count_device(struct saved_machine *saved, uint32_t id)
{
	switch (id) {
	case VIRTIO_ID_BALLOON:
		saved->balloons++;
		break;
	case VIRTIO_ID_BLOCK:
		saved->disks++;
		break;
	case VIRTIO_ID_NET:
		saved->networks++;
		break;
	case VIRTIO_ID_RNG:
		saved->rngs++;
		break;
	case VIRTIO_ID_VSOCK:
		saved->vsocks++;
		break;
	case VIRTIO_ID_CONSOLE:
		saved->consoles++;
		break;
	}
}

/* Fills in the sums. */
static void add_up(struct saved_machine *saved)
{
	saved->memory = 0;
	saved->balloons = saved->disks = saved->networks = 0;
	saved->rngs = saved->vsocks = saved->consoles = 0;
	for (unsigned int i = 0; i < saved->regions; i++)
		saved->memory += saved->region[i].len;
	for (unsigned int i = 0; i < saved->devices; i++)
		count_device(saved, saved->device[i].id);
}

static bool has_room(const struct saved_machine *saved)
{
	return saved->regions > 0 && saved->regions <= RAM_REGIONS_MAX &&
	       saved->devices <= SAVED_DEVICES_MAX;
}

int saved_machine_read(struct record_in *in, const char *arch, struct saved_machine *saved,
		       struct why *why)
{
	*saved = (struct saved_machine){0};
	int error = compare_names(in, arch, why);
	if (error)
		return error;
	saved->cpus = record_take_u32(in);
	saved->regions = record_take_u32(in);
	if (!has_room(saved))
		return why_set(why, -EINVAL, "its description of memory is malformed");
	for (uint32_t i = 0; i < saved->regions; i++) {
		saved->region[i].gpa = record_take_u64(in);
		saved->region[i].len = record_take_u64(in);
	}
	saved->devices = record_take_u32(in);
	for (uint32_t i = 0; i < saved->devices && i < SAVED_DEVICES_MAX; i++) {
		struct saved_device *device = &saved->device[i];
		device->id = record_take_u32(in);
		device->base = record_take_u64(in);
		device->gsi = record_take_u32(in);
	}
	if (!has_room(saved) || !record_complete(in))
		return why_set(why, -EINVAL, "its description of the machine is malformed");
	add_up(saved);
	return 0;
}

/* --- comparing ------------------------------------------------------------------------------- */

static bool has_ram_of(const struct saved_machine *machine, const struct saved_machine *saved)
{
	bool same = machine->regions == saved->regions;

	for (unsigned int i = 0; i < machine->regions && same; i++)
		same = machine->region[i].gpa == saved->region[i].gpa &&
		       machine->region[i].len == saved->region[i].len;
	return same;
}

static bool has_devices_of(const struct saved_machine *machine, const struct saved_machine *saved)
{
	bool same = machine->devices == saved->devices;

	for (unsigned int i = 0; i < machine->devices && same; i++)
		same = machine->device[i].id == saved->device[i].id &&
		       machine->device[i].base == saved->device[i].base &&
		       machine->device[i].gsi == saved->device[i].gsi;
	return same;
}

int saved_machine_compare(const struct saved_machine *machine, const struct saved_machine *saved,
			  struct why *why)
{
	unsigned long long mib = saved->memory >> 20;

	if (machine->cpus != saved->cpus)
		return why_set(why, -EINVAL, "its guest has %u CPUs: run it with -c %u",
			       saved->cpus, saved->cpus);
	if (!has_ram_of(machine, saved))
		return why_set(why, -EINVAL,
			       "its guest has %llu MiB of memory: run it with -m %lluM", mib, mib);
	if (!has_devices_of(machine, saved))
		return why_set(why, -EINVAL,
			       "its guest has other devices: give -d, -n, --rng, --balloon, "
			       "--console, --port and the others as when it was started");
	return 0;
}

/* --- finding --------------------------------------------------------------------------------- */

int saved_machine_find_in(int fd, const char *arch, struct saved_machine *saved, struct why *why)
{
	struct snapshot_reader reader = {.read = snapshot_read_plain, .ctx = &fd};
	uint8_t *room = malloc(SNAPSHOT_PAYLOAD_MAX);
	struct record_in in;

	if (!room)
		return why_set(why, -ENOMEM, "the host has no memory left");
	int error = lseek(fd, 0, SEEK_SET) < 0 ? -errno : snapshot_open(&reader);
	if (!error)
		error = snapshot_expect(&reader, SNAPSHOT_MACHINE, 0, room, &in);
	if (!error)
		error = saved_machine_read(&in, arch, saved, why);
	free(room);
	return error && reader.why[0] ? why_set(why, error, "%s", reader.why) : error;
}

struct request {
	int fd;
	const char *arch;
};

struct reply {
	int error;
	struct why why;
	struct saved_machine saved;
};

static void find(void *ctx, void *data)
{
	const struct request *request = ctx;
	struct reply *reply = data;

	reply->error =
		saved_machine_find_in(request->fd, request->arch, &reply->saved, &reply->why);
}

/* What the process that has read it says is not trusted either. */
static int find_confined(int fd, const char *arch, struct saved_machine *saved, struct why *why)
{
	struct request request = {fd, arch};
	const struct confined confined = {.work = find,
					  .ctx = &request,
					  .size = sizeof(struct reply),
					  .fd = {fd},
					  .fds = 1,
					  .cpu_s = CPU_S,
					  .limit_ms = LIMIT_MS};
	struct reply reply;

	int error = confined_run(&confined, &reply);
	if (error)
		return why_set(why, error, "the process that reads it %s", confined_error(error));
	reply.why.text[sizeof(reply.why.text) - 1] = '\0';
	*why = reply.why;
	*saved = reply.saved;
	if (confined_is_error(reply.error))
		return reply.error;
	if (reply.error || !has_room(saved))
		return why_set(why, -EINVAL, "the process that reads it failed");
	add_up(saved);
	return 0;
}

int saved_machine_find(const char *folder, const char *arch, struct saved_machine *saved)
{
	struct why why = {""};

	int dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd = dir < 0 ? -errno : snapshot_open_plain(dir, "snapshot");
	if (dir >= 0)
		close(dir);
	if (fd < 0)
		return snapshot_not_opened(folder, fd);
	int error = find_confined(fd, arch, saved, &why);
	close(fd);
	if (error)
		log_error("cannot restore the snapshot in '%s': %s", folder, why.text);
	return error;
}
