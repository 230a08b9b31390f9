// SPDX-License-Identifier: Apache-2.0
/*
 * ebb snapshot: has a guest saved, and writes it to a file. The guest's own ebb may write no files: it sends the
 * snapshot through a socket that goes to it with the command. So a client that is killed, or whose disk is full,
 * costs nothing but the attempt, and the guest goes on.
 *
 * It is saved in a folder while it runs, too, as one that is sent (--live), but for the last part, and goes on. What came is in the order
 * in which the guest wrote to its memory, and is put in order afterwards (snapshot_settle.h).
 *
 * The file gets its name last, when all of it is on the disk. At every moment the folder has the last snapshot that
 * is whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/cmd/cmd.h"
#include "vmm/cmd/guests.h"
#include "vmm/cmd/snapshot_base.h"
#include "vmm/cmd/snapshot_merge.h"
#include "vmm/cmd/snapshot_receive.h"
#include "vmm/cmd/snapshot_request.h"
#include "vmm/cmd/snapshot_settle.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"
#include "vmm/lib/text.h"
#include "vmm/snapshot/identify.h"

/* The guest's time to report what it does not use, and its ebb's to say that it did not. */
#define RECLAIM_MS 5000
/* How long a guest may stand still that is sent while it runs. */
#define LIVE_MS 50
/* How long another client may save it, before its ebb can be told that ours is kept. */
#define KEPT_MS 30000
/* In a working set: the id of the snapshot that it is of begins its first payload (docs/snapshot-format.md). */
#define ID_AT (SNAPSHOT_HEAD + SNAPSHOT_SECTION)

enum { OPTION_WORKING_SET, OPTION_BASE, OPTION_LIVE, OPTION_DISKS, OPTION_TRACK };

static const struct option options[] = {
	OPTION_NAME_LINE,
	{OPTION_BASE, 0, "base", "DIR",
	 "save only what is not as in the snapshot in DIR,\nfrom which the guest was restored, or its last one\nsince --track",
	 false},
	{OPTION_DISKS, 0, "disks", "copy|keep",
	 "copy the disks that the guest can write to, too,\nwhile it stands still, or keep them where they\nare: then they must not change "
	 "[keep]",
	 false},
	{OPTION_LIVE, 0, "live", "SECONDS",
	 "to standard output, while the guest runs: it\nstands still for about SECONDS [0.05], and from\nthen on: "
	 "\"ebb stop --force\" ends it once it runs\nelsewhere, \"ebb resume\" lets it go on here",
	 true},
	{OPTION_TRACK, 0, "track", NULL,
	 "have what the guest writes from then on tracked,\nso that the next snapshot may be based on this\none (--base), without a restart",
	 false},
	{OPTION_WORKING_SET, 0, "working-set", NULL,
	 "save only which memory a guest that was restored\nfrom DIR has used since: it is read ahead when\nothers are",
	 false},
	OPTION_HELP_LINE,
};

static const struct option_table table = {
	"ebb snapshot", "DIR|-|merge DIR OUT",
	"Saves a guest to the folder DIR, from which \"ebb run --restore DIR\" goes on, or\n"
	"to standard output, from which \"ebb run --restore -\" does, also on another host.\n"
	"It stands still meanwhile, in a folder without --base only for what it writes\n"
	"last, and then goes on, but for --live. Its disks are not saved but for --disks\n"
	"copy: they must not change before it is restored. With merge, makes a whole\n"
	"snapshot, in the folder OUT, of one saved with --base.",
	options, sizeof(options) / sizeof(options[0])};

/* What is saved, and how. */
static const struct what the_guest = {"x-ebb-snapshot", SNAPSHOT_FILE, true},
			 the_working_set = {"x-ebb-working-set", WORKING_SET_FILE, false};

static int apply_word(struct request *request, const char *word, struct option_error *error)
{
	if (!request->folder && !request->merge && strcmp(word, "merge") == 0) {
		request->merge = true;
		return 0;
	}
	if (request->merge && request->folder && !request->out) {
		request->out = word;
		return 0;
	}
	if (request->folder)
		return options_fail(error, "too many folders are given: '%s' and '%s'; name %s%s",
				    request->folder, word, request->merge ? "two" : "one",
				    request->live_ms ? " (a time is written --live=5)" : "");
	request->folder = word;
	return 0;
}

static int apply_live(struct request *request, const char *value, struct option_error *error)
{
	request->live_ms = LIVE_MS;
	int failed = value ? options_seconds("--live", value, &request->live_ms, error) : 0;
	if (failed || request->live_ms)
		return failed;
	return options_fail(error, "--live must be at least 0.001 seconds");
}

static int apply_disks(struct request *request, const char *value, struct option_error *error)
{
	request->copies = strcmp(value, "copy") == 0;
	if (request->copies || strcmp(value, "keep") == 0)
		return 0;
	return options_fail(error, "unknown --disks \"%s\"; write copy or keep", value);
}

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	struct request *request = ctx;

	switch (id) {
	case OPTION_WORD:
		return apply_word(request, value, error);
	case OPTION_WORKING_SET:
		request->what = &the_working_set;
		return 0;
	case OPTION_LIVE:
		return apply_live(request, value, error);
	case OPTION_BASE:
		request->base = value;
		return 0;
	case OPTION_TRACK:
		request->track = true;
		return 0;
	case OPTION_DISKS:
		return apply_disks(request, value, error);
	default:
		return guest_choice_apply(&request->choice, id, value, error);
	}
}

/* --- what came ---------------------------------------------------------------------------------- */

static bool read_id(int file, off_t at, struct snapshot_id *id)
{
	return at >= 0 && pread(file, id, sizeof(*id), at) == sizeof(*id);
}

/* Returns whether the working set that came is of the snapshot in the folder. */
static bool is_of_folder(const struct request *request)
{
	struct snapshot_id ours, theirs;
	int file = openat(request->file.dir, SNAPSHOT_FILE, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (file < 0)
		return false;
	off_t end = lseek(file, -(off_t)sizeof(theirs), SEEK_END);
	bool same = read_id(file, end, &theirs) && read_id(request->file.fd, ID_AT, &ours) &&
		    memcmp(&ours, &theirs, sizeof(ours)) == 0;
	close(file);
	return same;
}

/* Afterwards it may run elsewhere. Returns whether the end is written; else prints an error message. */
static bool pass_on_end(struct request *request, const char *guest)
{
	int error = snapshot_pass_on(request, 0);

	if (error)
		log_error("guest \"%s\" stands still, and runs nowhere else: cannot write the end "
			  "to standard output: %s; \"ebb resume\" lets it go on",
			  guest, strerror(-error));
	return !error;
}

/* Again, while another client saves the guest. */
static int tell(struct request *request, struct guest *guest, json_t *arguments)
{
	struct control_call *call = &guest->call;
	int64_t deadline = clock_ms() + KEPT_MS;

	for (;;) {
		control_call_start(call, "x-ebb-snapshot-kept", json_incref(arguments),
				   CONTROL_ANSWER_MS);
		control_call_wait(call, request->loop);
		if (call->err != -EREMOTEIO || clock_ms() > deadline ||
		    strcmp(control_client_error_class(call->client), "GuestBusy") != 0)
			break;
		poll(NULL, 0, 20);
	}
	json_decref(arguments);
	return call->err;
}

/* The next increment of a guest that is tracked is based on this one. If its ebb is not told, it is based on the one before. */
static void tell_kept(struct request *request, struct guest *guest, json_t *named)
{
	char text[SNAPSHOT_ID_TEXT];
	struct snapshot_id id;

	int error = saved_disks_id(request->file.fd, &id);
	if (!error) {
		snapshot_id_text(&id, text);
		/* What it calls the last one, which has other last bytes since it was put in order. */
		error = tell(request, guest,
			     json_is_string(named)
				     ? json_pack("{s:O, s:s}", "id", named, "as", text)
				     : json_pack("{s:s}", "id", text));
	}
	if (error)
		log_warn("%s: no later snapshot can be based on this one: its ebb did not hear "
			 "that it is kept",
			 guest->shown);
}

/* One that has no other is not tracked any more, which would make it slower, for nothing. */
static void tell_dropped(struct request *request, struct guest *guest, json_t *named)
{
	if (json_is_string(named) &&
	    tell(request, guest, json_pack("{s:O, s:b}", "id", named, "kept", false)))
		log_warn("%s: its ebb did not hear that it is not saved, and may track what it "
			 "writes, which makes it slower, until a snapshot with --track is kept",
			 guest->shown);
}

/* Of a guest that is tracked: @status is how it was saved. */
static void tell_tracked(struct request *request, struct guest *guest, int status)
{
	json_t *answer = json_incref(guest->call.reply);
	json_t *named = json_object_get(answer, "id");

	if (json_is_true(json_object_get(answer, "tracked")) && status != EXIT_DONE)
		tell_dropped(request, guest, named);
	else if (json_is_true(json_object_get(answer, "tracked")) && request->file.fd >= 0)
		tell_kept(request, guest, named);
	json_decref(answer);
}

static int say_result(struct request *request, struct guest *guest)
{
	char text[TEXT_MAX];
	const char *why = json_string_value(guest->call.reply);
	json_int_t bytes, saved;
	double stopped;

	if (request->silent) {
		log_error(
			"guest \"%s\" is not saved: its ebb does not answer; it is stopped or stuck, "
			"or its disks take long to flush: try again later",
			guest->shown);
		return EXIT_FAILED;
	}
	if (request->error) {
		log_error("guest \"%s\" is not saved: cannot write to '%s': %s", guest->shown,
			  request->stream ? "standard output" : request->folder,
			  strerror(-request->error));
		return EXIT_FAILED;
	}
	if (guest->call.err) {
		log_error("guest \"%s\" is not saved: %s", guest->shown,
			  why ? text_escape(text, sizeof(text), why, false)
			      : strerror(-guest->call.err));
		return EXIT_FAILED;
	}
	if (json_unpack(guest->call.reply, "{s:I, s:I, s:F}", "bytes", &bytes, "memory", &saved,
			"stopped", &stopped) ||
	    bytes < 0 || saved < 0 || (uint64_t)bytes != request->bytes ||
	    ((request->live_ms || request->copies) && !request->committed)) {
		log_error("guest \"%s\" is not saved: its ebb answered %s wrongly", guest->shown,
			  request->what->command);
		return EXIT_FAILED;
	}
	if (request->what == &the_working_set && !is_of_folder(request)) {
		log_error("guest \"%s\" was restored from another snapshot than the one in '%s': "
			  "name the folder of that",
			  guest->shown, request->folder);
		return EXIT_FAILED;
	}
	if (request->base &&
	    !snapshot_base_find(&request->file, &request->bases, request->base, guest->shown))
		return EXIT_FAILED;
	uint64_t memory = (uint64_t)saved;
	if (json_is_true(json_object_get(guest->call.reply, "ran")) && request->file.fd >= 0 &&
	    snapshot_settle_file(&request->file, guest->shown, &request->bytes, &memory) != 0)
		return EXIT_FAILED;
	if (!request->stream && snapshot_file_publish(&request->file) != 0)
		return EXIT_FAILED;
	if (request->live_ms && !pass_on_end(request, guest->shown))
		return EXIT_FAILED;
	snapshot_say_saved(request, guest->shown, memory, stopped);
	if (request->what == &the_guest)
		snapshot_say_disks(request, guest->shown,
				   json_object_get(guest->call.reply, "disks"));
	return EXIT_DONE;
}

static int snapshot(void *ctx, struct guests *guests, int status)
{
	struct request *request = ctx;

	if (!request->stream && snapshot_file_begin(&request->file) != 0)
		return EXIT_FAILED;
	if (request->base &&
	    snapshot_base_open(&request->file, &request->bases, request->base) != 0)
		return EXIT_FAILED;
	/* What it does not use need not be saved. A guest that cannot report is saved as it is. */
	if (request->what == &the_guest)
		guests_ask_quietly(guests, "x-ebb-reclaim",
				   json_pack("{s:f}", "timeout", RECLAIM_MS / 1000.0),
				   3 * RECLAIM_MS);
	snapshot_receive(request, guests, guests->guest[0]);
	status = say_result(request, guests->guest[0]);
	tell_tracked(request, guests->guest[0], status);
	return status;
}

/* Returns whether it can go where it shall. */
static bool check(struct request *request)
{
	bool the_guest_whole = request->what == &the_guest && !request->base && !request->live_ms &&
			       !request->copies && !request->track;

	request->stream = request->folder && strcmp(request->folder, "-") == 0;
	if (request->merge && (!request->out || !*request->out || request->stream))
		log_error("name two folders: ebb snapshot merge DIR OUT (one called \"merge\" is "
			  "./merge)");
	else if (request->merge && (request->choice.name || !the_guest_whole))
		log_error("\"ebb snapshot merge\" takes folders alone, and no options");
	else if (!request->folder || !*request->folder)
		log_error("name the folder that the snapshot goes to: ebb snapshot -n NAME DIR");
	else if (request->base && request->what != &the_guest)
		log_error("--base and --working-set cannot be combined: one saves the guest, the "
			  "other what it has used");
	else if (request->stream && request->what != &the_guest)
		log_error("--working-set needs the folder that the guest was restored from");
	else if (request->live_ms && (request->base || request->what != &the_guest))
		log_error("--live sends all of the guest: leave out --base and --working-set");
	else if (request->live_ms && !request->stream)
		log_error(
			"--live is for standard output: \"ebb snapshot --live -n NAME - | ssh HOST "
			"ebb run --restore - --detach ...\"");
	else if (request->copies && (request->stream || request->what != &the_guest))
		log_error("--disks copy needs a folder that the guest is saved to, for the copies: "
			  "ebb snapshot --disks copy -n NAME DIR");
	else if (request->track &&
		 (request->stream || request->base || request->what != &the_guest))
		log_error("--track is for a whole snapshot in a folder, on which the next can be "
			  "based: ebb snapshot --track -n NAME DIR");
	else if (request->stream && request->base)
		log_error("--base needs a folder to save to, where its base is kept, too");
	else if (request->stream && isatty(STDOUT_FILENO))
		log_error("a snapshot is not for a terminal: \"ebb snapshot -n NAME - | ssh HOST "
			  "ebb run --restore - ...\"");
	else
		return true;
	return false;
}

int cmd_snapshot(int argc, char **argv)
{
	struct request request = {
		.what = &the_guest, .file.dir = -1, .file.fd = -1, .in.fd = -1, .theirs = -1};
	int status = cmd_parse(&table, argc, argv, apply, &request);

	if (status >= 0)
		return status;
	if (!check(&request))
		return EXIT_USAGE;
	if (request.merge)
		return snapshot_merge_folders(request.folder, request.out);
	request.file.folder = request.folder;
	request.file.name = request.what->name;
	status = guests_run(&request.choice, snapshot, &request);
	if (request.in.fd >= 0)
		close(request.in.fd);
	snapshot_file_end(&request.file, status == EXIT_DONE);
	snapshot_disks_release(&request.disks);
	snapshot_chain_release(&request.bases);
	return status;
}
