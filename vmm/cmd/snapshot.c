// SPDX-License-Identifier: Apache-2.0
/*
 * ebb snapshot: has a guest saved, and writes it to a file. The guest's own ebb may write no files: it sends the
 * snapshot through a socket that goes to it with the command. So a client that is killed, or whose disk is full,
 * costs nothing but the attempt, and the guest goes on.
 *
 * It is saved in a folder while it runs, too, as one that is sent (--live), but for the last part, and goes on. What came is in the order
 * in which the guest wrote to its memory, and is put in order afterwards (snapshot_settle.h).
 *
 * A guest that is sent while it runs (--live) stays stopped once it was sent. When all has come, the end of it is held back
 * until standard output has taken the rest; then we commit to it, by a byte to the guest's ebb; when that has answered, the end
 * follows, without which nobody runs what was read. So what fails before the answer lets the guest go on here, and nowhere else.
 *
 * If its disks are to be saved, too (--disks copy), the guest likewise stands still once all has come, until we have copied them.
 *
 * The file gets its name last, when all of it is on the disk. At every moment the folder has the last snapshot that
 * is whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/cmd/cmd.h"
#include "vmm/cmd/guests.h"
#include "vmm/cmd/snapshot_base.h"
#include "vmm/cmd/snapshot_merge.h"
#include "vmm/cmd/snapshot_request.h"
#include "vmm/cmd/snapshot_settle.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"
#include "vmm/lib/text.h"
#include "vmm/lib/write_all.h"
#include "vmm/snapshot/identify.h"

/* The guest's time to report what it does not use, and its ebb's to say that it did not. */
#define RECLAIM_MS 5000
/*
 * No answer and no byte for so long: ebb itself waits 30 s for us, 10 s for the guest's requests, and as long as it takes for
 * its disks to be flushed, which it does first, while the guest runs.
 */
#define SILENCE_MS 60000
#define FOREVER_MS (24 * 3600 * 1000)
/* Another may have been killed while the guest was saved for it, which its ebb needs a moment to notice and to end. */
#define BUSY_MS 2000
/* Who reads from us may take nothing for so long, while the guest stands still. */
#define READER_MS 30000
/* How long a guest may stand still that is sent while it runs. */
#define LIVE_MS 50
/* How long one may stand still that is saved and goes on, if it writes no faster than that. */
#define STAYS_MS 10
/* In a working set: the id of the snapshot that it is of begins its first payload (docs/snapshot-format.md). */
#define ID_AT (SNAPSHOT_HEAD + SNAPSHOT_SECTION)
/* The last section, which a pipe takes as a whole or not at all. */
#define LAST (SNAPSHOT_SECTION + SNAPSHOT_END_SIZE)
_Static_assert(LAST <= PIPE_BUF, "it is written at once");

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

/* --- what comes -------------------------------------------------------------------------------- */

/* From a stream the guest's ebb has left out the pages of zeros. Holds back the last @keep bytes. */
static int pass_on(struct request *request, size_t keep)
{
	struct snapshot_file *file = &request->file;
	size_t len = file->held > keep ? file->held - keep : 0;
	int error = write_all(STDOUT_FILENO, file->data, len);

	file->held -= len;
	memmove(file->data, file->data + len, file->held);
	return error;
}

/* Waits until standard output takes the end at once. Returns 0 or -errno. */
static int wait_for_reader(void)
{
	struct pollfd reader = {.fd = STDOUT_FILENO, .events = POLLOUT};

	int ready = poll(&reader, 1, READER_MS);
	if (ready <= 0)
		return ready < 0 ? -errno : -ETIMEDOUT;
	return !(reader.revents & POLLOUT) || reader.revents & POLLERR ? -EPIPE : 0;
}

static void close_theirs(struct request *request)
{
	if (request->theirs >= 0)
		close(request->theirs);
	request->theirs = -1;
}

/* Does what the guest stands still for, and commits to it. Returns 0 or -errno. */
static int commit(struct request *request)
{
	/* From here on only the guest's ebb has it: if that ends, it is closed. */
	close_theirs(request);
	int error = request->copies
			    ? snapshot_disks_copy(&request->disks, &request->file, request->in.fd)
			    : wait_for_reader();

	request->heard = clock_ms();
	/* If it is gone, the answer says so. */
	if (error == -ECANCELED)
		return 0;
	request->committed = !error;
	if (!error)
		send(request->in.fd, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	return error;
}

/* As take(), what comes until the snapshot's first byte has: the disks. */
static bool take_first(struct request *request)
{
	int disk = snapshot_disks_take(&request->disks, request->in.fd, request->file.data);

	if (disk < 0 && disk != -EAGAIN)
		request->error = disk;
	if (disk == 0)
		request->bytes = request->file.held = 1;
	return disk >= 0;
}

/* Takes some of what is there. Returns whether there was any. */
static bool take(struct request *request)
{
	struct snapshot_file *file = &request->file;

	if (request->copies && !request->bytes)
		return take_first(request);
	ssize_t got = recv(request->in.fd, file->data + file->held, sizeof(file->data) - file->held,
			   MSG_DONTWAIT);
	if (got <= 0)
		return false;
	request->heard = clock_ms();
	request->bytes += (uint64_t)got;
	file->held += (size_t)got;
	request->error = request->stream ? pass_on(request, request->live_ms ? LAST : 0)
					 : snapshot_file_write(file);
	return true;
}

static void on_data(void *ctx)
{
	struct request *request = ctx;
	char more;

	if (take(request) || request->error || !(request->live_ms || request->copies) ||
	    request->committed ||
	    recv(request->in.fd, &more, sizeof(more), MSG_DONTWAIT | MSG_PEEK) != 0)
		return;
	/* All that ebb sends has come. */
	loop_mute(request->loop, &request->in);
	request->error = commit(request);
}

/* Serves the loop until the command is answered, or nothing came for a long time, or the disk is full. */
static void receive(struct request *request, struct guests *guests, struct control_call *call)
{
	request->heard = clock_ms();
	while (call->pending && !request->error && !request->silent) {
		if (loop_turn(&guests->loop, 1000) < 0)
			break;
		request->silent = clock_ms() - request->heard > SILENCE_MS;
	}
}

/* Afterwards it may run elsewhere. Returns whether the end is written; else prints an error message. */
static bool pass_on_end(struct request *request, const char *guest)
{
	int error = pass_on(request, 0);

	if (error)
		log_error("guest \"%s\" stands still, and runs nowhere else: cannot write the end "
			  "to standard output: %s; \"ebb resume\" lets it go on",
			  guest, strerror(-error));
	return !error;
}

/* The next increment of a guest that is tracked is based on this one. If its ebb is not told, it is based on the one before. */
static void tell_kept(struct request *request, struct guest *guest)
{
	const struct snapshot_file *file = &request->file;
	json_t *named = json_object_get(guest->call.reply, "id");
	char text[SNAPSHOT_ID_TEXT];
	struct snapshot_id id;

	int error = saved_disks_id(file->fd, &id);
	if (!error) {
		snapshot_id_text(&id, text);
		/* What it calls the last one, which has other last bytes since it was put in order. */
		json_t *arguments = json_is_string(named)
					    ? json_pack("{s:O, s:s}", "id", named, "as", text)
					    : json_pack("{s:s}", "id", text);
		control_call_start(&guest->call, "x-ebb-snapshot-kept", arguments,
				   CONTROL_ANSWER_MS);
		control_call_wait(&guest->call, request->loop);
		error = guest->call.err;
	}
	if (error)
		log_warn("%s: no later snapshot can be based on this one: its ebb did not hear "
			 "that it is kept",
			 guest->shown);
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
	if (request->file.fd >= 0 && json_is_true(json_object_get(guest->call.reply, "tracked")))
		tell_kept(request, guest);
	return EXIT_DONE;
}

static json_t *arguments_of(const struct request *request)
{
	json_t *arguments = json_object();

	if (request->base)
		json_object_set_new(arguments, "increment", json_true());
	if (request->copies)
		json_object_set_new(arguments, "disks", json_true());
	if (request->track)
		json_object_set_new(arguments, "track", json_true());
	if (request->live_ms)
		json_object_set_new(arguments, "downtime-limit", json_integer(request->live_ms));
	else if (request->stream)
		json_object_set_new(arguments, "sparse", json_true());
	else if (request->what == &the_guest && !request->base)
		json_object_update_new(arguments, json_pack("{s:b, s:i}", "stays", true,
							    "downtime-limit", STAYS_MS));
	return arguments;
}

/* What has come is of no use. Its ebb finds that out, and lets it go on; then we say so. */
static void give_up(struct request *request, struct guests *guests, struct guest *guest)
{
	close(request->in.fd);
	request->in.fd = -1;
	control_call_wait_until(&guest->call, &guests->loop, clock_ms() + SILENCE_MS);
}

/* Asks the ebb of @guest for it, and takes what comes until that has answered. Returns 0 or -errno. */
static int ask(struct request *request, struct guests *guests, struct guest *guest)
{
	int pair[2];

	if (request->in.fd >= 0)
		close(request->in.fd);
	request->in.fd = -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	request->loop = &guests->loop;
	request->in = (struct loop_source){pair[0], on_data, request};
	request->theirs = pair[1];
	int error = loop_add(&guests->loop, &request->in);
	if (!error) {
		control_client_pass(guest->call.client, pair[1]);
		control_call_start(&guest->call, request->what->command, arguments_of(request),
				   FOREVER_MS);
		receive(request, guests, &guest->call);
		loop_remove(&guests->loop, &request->in);
	}
	close_theirs(request);
	return error;
}

/* Returns whether to ask again, after a moment. */
static bool is_busy(const struct request *request, const struct guest *guest, int64_t deadline)
{
	if (request->bytes || guest->call.err != -EREMOTEIO || clock_ms() > deadline ||
	    strcmp(control_client_error_class(guest->call.client), "GuestBusy") != 0)
		return false;
	poll(NULL, 0, 20);
	return true;
}

/* Has @guest saved. Returns the exit status. */
static int transfer(struct request *request, struct guests *guests, struct guest *guest)
{
	int64_t deadline = clock_ms() + BUSY_MS;
	int error;

	do
		error = ask(request, guests, guest);
	while (!error && is_busy(request, guest, deadline));
	request->error = error ? error : request->error;
	/* The answer can overtake the last bytes, which are in our socket by then. */
	while (!request->error && !guest->call.pending && !guest->call.err && take(request))
		;
	if (!request->error && !request->stream)
		request->error = snapshot_file_write_rest(&request->file);
	if (request->error && (request->live_ms || request->copies) && !error)
		give_up(request, guests, guest);
	return say_result(request, guest);
}

static int snapshot(void *ctx, struct guests *guests, int status)
{
	struct request *request = ctx;

	(void)status;
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
	return transfer(request, guests, guests->guest[0]);
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
