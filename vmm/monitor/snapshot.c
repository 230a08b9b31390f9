// SPDX-License-Identifier: Apache-2.0
/*
 * x-ebb-snapshot and x-ebb-working-set: save the guest, or what it has used of the snapshot that it was restored from, to the
 * socket that came with the command, and answer when that is saved. The guest stands still meanwhile, or, with a limit for that,
 * for the last part: to go on elsewhere, or here. x-ebb-snapshot-kept: the client keeps what came; the next increment is based on it. Or it
 * does not.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/json.h"
#include "vmm/lib/pass_fd.h"
#include "vmm/machine/device_blk.h"
#include "vmm/machine/live.h"
#include "vmm/machine/save.h"
#include "vmm/machine/track.h"
#include "vmm/machine/working_set.h"
#include "vmm/monitor/part.h"
#include "vmm/snapshot/files.h"

#define NOT_LAST "it is not the guest's last snapshot, or nothing is tracked"

/* What the guest can write to, and is in no snapshot: as the user named them. */
static json_t *disks_of(const struct monitor *monitor)
{
	json_t *list = json_array();
	const struct disk *disk;

	for (unsigned int i = 0; (disk = machine_disk(monitor->machine, i)); i++)
		if (!disk_read_only(disk))
			json_array_append_new(list, json_text(disk->file));
	return list;
}

static void add_tracked(const struct monitor *monitor, json_t *result)
{
	char text[SNAPSHOT_ID_TEXT];
	struct snapshot_id id;

	if (!track_last(monitor->machine, &id))
		return;
	snapshot_id_text(&id, text);
	json_object_set_new(result, "tracked", json_true());
	json_object_set_new(result, "id", json_string(text));
}

static void saved(struct monitor *monitor, uint64_t command)
{
	const struct saver *saver = &monitor->saver;
	struct control_error error = {.class = NULL};
	json_t *result = NULL;

	if (saver->error)
		control_fail(&error, "%s", saver->why.text);
	else
		result = json_pack("{s:o, s:o, s:f}", "bytes", json_count(saver->writer.offset),
				   "memory", json_count(saver->pages * SNAPSHOT_PAGE), "stopped",
				   (double)saver->stood / NS_PER_S);
	if (result && saver->what == machine_save)
		json_object_set_new(result, "disks", disks_of(monitor));
	if (result && saver->stays && saver->downtime)
		json_object_set_new(result, "ran", json_true());
	/* Its client says when it is kept. */
	if (result && (saver->track || saver->increment))
		add_tracked(monitor, result);
	control_server_answer(monitor->server, command, result, &error);
}

/* A day. */
#define LIMIT_MAX_MS (24 * 3600 * 1000)

/* A command's arguments: of x-ebb-snapshot alone. */
struct how {
	bool sparse, increment, disks, track, stays;
	uint64_t downtime; /* ns */
};

/* Disks that are not copied must be there when the guest is restored: a file without a name is gone by then. */
static int disks_can_stay(const struct monitor *monitor, struct why *why)
{
	const struct disk *disk;
	struct stat st;

	for (unsigned int i = 0; (disk = machine_disk(monitor->machine, i)); i++)
		if (disk->again >= 0 && fstat(disk->again, &st) == 0 && st.st_nlink == 0)
			return why_set(why, -EOPNOTSUPP,
				       "its disk %u is a private copy, or was removed, and goes "
				       "with it: save it in a folder with --disks copy",
				       i);
	return 0;
}

static bool can_save(struct monitor *monitor, saver_what what, const struct how *how,
		     struct control_error *error)
{
	struct why why = {""};
	int failed;

	if (what != machine_save)
		failed = working_set_can_save(monitor->machine, &why);
	else if (how->increment)
		failed = machine_can_increment(monitor->machine, &why);
	else
		failed = machine_can_save(monitor->machine, &why);
	if (!failed && how->downtime && !how->stays)
		failed = live_can(monitor->machine, &why);
	if (!failed && what == machine_save && !how->disks)
		failed = disks_can_stay(monitor, &why);
	if (failed) {
		control_fail_as(error, "NotSupported", "%s", why.text);
		return false;
	}
	/* A restored guest has nobody who would end it. */
	if (what == machine_save)
		monitor_end_lease(monitor);
	return true;
}

/*
 * Gives the client what it is to copy: each disk that the guest can write to, with its number, so that no name has to be believed,
 * and only to read. Returns whether the client has them; else @error is set.
 */
static bool pass_disks(const struct monitor *monitor, int socket, struct control_error *error)
{
	const struct disk *disk;

	for (unsigned int i = 0; (disk = machine_disk(monitor->machine, i)); i++) {
		const uint8_t number = (uint8_t)i;
		if (disk_read_only(disk))
			continue;
		if (disk->again >= 0 && pass_fd_send_now(socket, &number, sizeof(number),
							 disk->again) == (ssize_t)sizeof(number))
			continue;
		control_fail(error, "its disk %u cannot be passed on, to be copied", i);
		return false;
	}
	return true;
}

/* Returns whether it took @socket; else @error is set. */
static bool begin(struct monitor *monitor, saver_what what, const struct how *how, int socket,
		  struct control_error *error)
{
	struct saver *saver = &monitor->saver;

	if (saver->saves) {
		control_fail_as(error, "GuestBusy", "the guest is being saved already");
		return false;
	}
	if (socket < 0) {
		control_fail(error, "a socket must come with the command (SCM_RIGHTS), for the "
				    "snapshot to go to");
		return false;
	}
	if (!can_save(monitor, what, how, error) ||
	    (how->disks && !pass_disks(monitor, socket, error)))
		return false;
	saver->disks = how->disks;
	saver->track = how->track;
	saver->sparse = how->sparse;
	saver->increment = how->increment;
	saver->stays = how->stays;
	/* One that is paused writes nothing. */
	saver->downtime = how->stays && monitor->paused ? 0 : how->downtime;
	saver_begin(saver, what, socket, saved, control_server_defer(monitor->server));
	return true;
}

/* In QEMU's unit. */
static bool read_limit(const json_t *value, struct how *how, struct control_error *error)
{
	json_int_t ms = json_integer_value(value);

	if (json_is_integer(value) && ms > 0 && ms <= LIMIT_MAX_MS) {
		how->downtime = (uint64_t)ms * NS_PER_MS;
		return true;
	}
	control_fail(error, "Parameter 'downtime-limit' expects an integer in the range of 1 to %d",
		     LIMIT_MAX_MS);
	return false;
}

/* Returns whether @arguments are valid; else @error is set. */
static bool read_arguments(saver_what what, const json_t *arguments, struct how *how,
			   struct control_error *error)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)arguments, key, value)
	{
		bool *flag = strcmp(key, "sparse") == 0	     ? &how->sparse
			     : strcmp(key, "increment") == 0 ? &how->increment
			     : strcmp(key, "disks") == 0     ? &how->disks
			     : strcmp(key, "track") == 0     ? &how->track
			     : strcmp(key, "stays") == 0     ? &how->stays
							     : NULL;
		if (what == machine_save && strcmp(key, "downtime-limit") == 0) {
			if (read_limit(value, how, error))
				continue;
			return false;
		}
		if (what != machine_save || !flag)
			control_fail(error, "Parameter '%.100s' is unexpected", key);
		else if (!json_is_boolean(value))
			control_fail(error, "Parameter '%s' expects a boolean", key);
		else {
			*flag = json_is_true(value);
			continue;
		}
		return false;
	}
	return true;
}

/* What is sent while the guest runs is sparse in any case, and needs no base. */
static bool fits(const struct how *how, struct control_error *error)
{
	bool moves = how->downtime && !how->stays;

	if (how->downtime && how->increment)
		control_fail(error, "'downtime-limit' and 'increment' cannot be combined");
	else if (how->stays && !how->downtime)
		control_fail(error, "'stays' needs a 'downtime-limit'");
	else if (moves && how->disks)
		control_fail(error, "'downtime-limit' and 'disks' cannot be combined, but with "
				    "'stays'");
	else if (how->track && (moves || how->increment))
		control_fail(error, "'track' is for a whole snapshot of a guest that goes on here");
	else
		return true;
	return false;
}

static json_t *save(struct monitor *monitor, saver_what what, const json_t *arguments,
		    struct control_error *error)
{
	int socket = control_server_take_descriptor(monitor->server);
	struct how how = {.downtime = 0};
	bool taken = read_arguments(what, arguments, &how, error) && fits(&how, error) &&
		     begin(monitor, what, &how, socket, error);

	if (!taken && socket >= 0)
		close(socket);
	return NULL;
}

static json_t *snapshot(void *ctx, const json_t *arguments, struct control_error *error)
{
	return save(ctx, machine_save, arguments, error);
}

static json_t *working_set(void *ctx, const json_t *arguments, struct control_error *error)
{
	return save(ctx, working_set_save, arguments, error);
}

static void dropped(struct monitor *monitor, uint64_t command)
{
	struct control_error error = {.class = NULL};

	control_server_answer(monitor->server, command, json_object(), &error);
}

/* On the saver's thread, which may tell KVM that nothing is logged any more. */
static void drop(struct monitor *monitor, const struct snapshot_id *id, struct control_error *error)
{
	struct snapshot_id last;

	if (track_last(monitor->machine, &last) && memcmp(&last, id, sizeof(last)) == 0)
		saver_drop(&monitor->saver, dropped, control_server_defer(monitor->server));
	else
		control_fail(error, NOT_LAST);
}

static json_t *snapshot_kept(void *ctx, const json_t *arguments, struct control_error *error)
{
	struct monitor *monitor = ctx;
	bool is_dropped = json_is_false(json_object_get(arguments, "kept"));
	const json_t *named = json_object_get(arguments, "as");
	const char *text = json_string_value(json_object_get(arguments, "id"));
	const char *as_text = named ? json_string_value(named) : text;
	struct snapshot_id id, as;

	if (json_object_size(arguments) != (named || is_dropped ? 2 : 1) || !text || !as_text ||
	    !snapshot_id_read(text, &id) || !snapshot_id_read(as_text, &as))
		control_fail(error, "Parameter 'id' expects 32 digits of a hexadecimal number, and "
				    "'as' likewise, or 'kept' false");
	else if (monitor->saver.saves)
		control_fail_as(error, "GuestBusy", "the guest is being saved again already");
	else if (is_dropped)
		drop(monitor, &id, error);
	else if (!track_keep(monitor->machine, &id, &as))
		control_fail(error, NOT_LAST);
	else
		return json_object();
	return NULL;
}

static const struct control_command commands[] = {
	{"x-ebb-snapshot", CONTROL_ACTS, snapshot},
	{"x-ebb-snapshot-kept", CONTROL_ACTS, snapshot_kept},
	{"x-ebb-working-set", CONTROL_ACTS, working_set},
	{},
};

const struct monitor_part monitor_snapshot = {
	.name = "snapshot",
	.commands = commands,
};
