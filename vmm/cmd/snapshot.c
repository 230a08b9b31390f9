// SPDX-License-Identifier: Apache-2.0
/*
 * ebb snapshot: has a guest saved, and writes it to a file. The guest's own ebb may write no files: it sends the
 * snapshot through a socket that goes to it with the command. So a client that is killed, or whose disk is full,
 * costs nothing but the attempt, and the guest goes on.
 *
 * The file gets its name last, when all of it is on the disk. At every moment the folder has the last snapshot that
 * is whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/cmd/cmd.h"
#include "vmm/cmd/guests.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"
#include "vmm/lib/text.h"
#include "vmm/lib/write_all.h"
#include "vmm/lib/zero.h"

#define SNAPSHOT    "snapshot"
#define WORKING_SET "working-set"
/* The guest's time to report what it does not use, and its ebb's to say that it did not. */
#define RECLAIM_MS 5000
/* No answer and no byte for so long: ebb itself waits 30 s for us, and 10 s for the guest's disks. */
#define SILENCE_MS 60000
#define FOREVER_MS (24 * 3600 * 1000)
#define READ_MAX   (256 * 1024)
#define PAGE	   4096U
/* In a working set: which snapshot it is of, in the words that are the last of that (docs/snapshot-format.md). */
#define ID_AT	64
#define ID_SIZE 16

enum { OPTION_WORKING_SET };

static const struct option options[] = {
	OPTION_NAME_LINE,
	{OPTION_WORKING_SET, 0, "working-set", NULL,
	 "save only which memory a guest that was restored\nfrom DIR has used since: it is read ahead when\nothers are",
	 false},
	OPTION_HELP_LINE,
};

static const struct option_table table = {
	"ebb snapshot", "DIR|-",
	"Saves a guest to the folder DIR, from which \"ebb run --restore DIR\" goes on, or\n"
	"to standard output, from which \"ebb run --restore -\" does, also on another host.\n"
	"The guest stands still meanwhile, and then goes on. Its disks are not saved:\n"
	"they must not change before it is restored.",
	options, sizeof(options) / sizeof(options[0])};

/* What is saved, and how. */
struct what {
	const char *command, *name, *unfinished;
};
static const struct what the_guest = {"x-ebb-snapshot", SNAPSHOT, SNAPSHOT ".unfinished"},
			 the_working_set = {"x-ebb-working-set", WORKING_SET,
					    WORKING_SET ".unfinished"};

struct request {
	struct guest_choice choice;
	const struct what *what;
	const char *folder;    /* "-": standard output */
	bool stream;	       /* that */
	int dir;	       /* of the folder */
	int file;	       /* of the snapshot */
	bool named;	       /* it has the name what->unfinished; else none yet */
	struct loop_source in; /* the snapshot comes there */
	uint64_t bytes;	       /* that came */
	int error;	       /* of writing it, -errno */
	bool made;	       /* the folder is new */
	bool silent;	       /* nothing came for too long */
	size_t held;	       /* bytes of data[] that are not written yet */
	uint8_t data[READ_MAX];
};

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	struct request *request = ctx;
	if (id == OPTION_WORKING_SET) {
		request->what = &the_working_set;
		return 0;
	}
	if (id != OPTION_WORD)
		return guest_choice_apply(&request->choice, id, value, error);
	if (request->folder)
		return options_fail(error, "two folders are given: '%s' and '%s'; name one",
				    request->folder, value);
	request->folder = value;
	return 0;
}

/* --- the folder and the file ------------------------------------------------------------------- */

static int fail(const struct request *request, const char *what)
{
	int error = errno;
	log_error("cannot %s '%s': %s", what, request->folder, strerror(error));
	return -error;
}

static int open_folder(struct request *request)
{
	if (request->what == &the_guest) {
		request->made = mkdir(request->folder, 0700) == 0;
		if (!request->made && errno != EEXIST)
			return fail(request, "make the folder");
	}
	request->dir = open(request->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (request->dir < 0)
		return fail(request, "open the folder");
	if (flock(request->dir, LOCK_EX | LOCK_NB) < 0) {
		log_error("another \"ebb snapshot\" is writing to '%s': wait for it",
			  request->folder);
		return -EBUSY;
	}
	if (request->what == &the_guest || faccessat(request->dir, SNAPSHOT, F_OK, 0) == 0)
		return 0;
	log_error("there is no snapshot in '%s': name the folder that the guest was restored from",
		  request->folder);
	return -ENOENT;
}

/* A file without a name is gone when this process is; not all file systems have such. */
static int open_file(struct request *request)
{
	request->file = openat(request->dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (request->file >= 0)
		return 0;
	if (unlinkat(request->dir, request->what->unfinished, 0) < 0 && errno != ENOENT)
		return fail(request, "replace an unfinished snapshot in");
	request->file = openat(request->dir, request->what->unfinished,
			       O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	request->named = request->file >= 0;
	return request->file < 0 ? fail(request, "write a snapshot to") : 0;
}

/* Gives a file without a name one, which rename() needs. */
static int give_name(const struct request *request)
{
	char path[64];

	if (request->named)
		return 0;
	/* Left by one that was killed: the folder is locked. */
	if (unlinkat(request->dir, request->what->unfinished, 0) < 0 && errno != ENOENT)
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", request->file);
	return linkat(AT_FDCWD, path, request->dir, request->what->unfinished, AT_SYMLINK_FOLLOW);
}

static int publish(const struct request *request)
{
	const struct what *what = request->what;

	if (fsync(request->file) < 0 || give_name(request) < 0 ||
	    renameat(request->dir, what->unfinished, request->dir, what->name) < 0)
		return fail(request, "finish the snapshot in");
	/* Of the snapshot that was there before. If this process is killed just now, it says itself that it is of another. */
	if (what == &the_guest && unlinkat(request->dir, WORKING_SET, 0) < 0 && errno != ENOENT)
		return fail(request, "remove the working set in");
	return fsync(request->dir) < 0 ? fail(request, "finish the snapshot in") : 0;
}

static bool read_id(int file, off_t at, uint8_t id[ID_SIZE])
{
	return at >= 0 && pread(file, id, ID_SIZE, at) == ID_SIZE;
}

/* Returns whether what came is of the snapshot in the folder. */
static bool is_of_folder(const struct request *request)
{
	uint8_t ours[ID_SIZE], theirs[ID_SIZE];
	int file = openat(request->dir, SNAPSHOT, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (file < 0)
		return false;
	bool same = read_id(file, lseek(file, -ID_SIZE, SEEK_END), theirs) &&
		    read_id(request->file, ID_AT, ours) && memcmp(ours, theirs, ID_SIZE) == 0;
	close(file);
	return same;
}

/* After a failure nothing is left of it. */
static void forget(struct request *request, bool done)
{
	if (!done && request->file >= 0)
		unlinkat(request->dir, request->what->unfinished, 0);
	if (request->in.fd >= 0)
		close(request->in.fd);
	if (request->file >= 0)
		close(request->file);
	if (request->dir >= 0)
		close(request->dir);
	if (!done && request->made)
		rmdir(request->folder);
}

/* --- what comes -------------------------------------------------------------------------------- */

/*
 * Writes the whole pages that came, and keeps the rest. A page of zeros becomes a hole: guest memory is saved in large
 * blocks, and not all of a block is used.
 */
static int write_pages(struct request *request)
{
	size_t end = request->held - request->held % PAGE, at = 0;
	int error = 0;

	while (at < end && !error) {
		size_t from = at;
		while (at < end && !is_zero(request->data + at, PAGE))
			at += PAGE;
		error = write_all(request->file, request->data + from, at - from);
		for (from = at; at < end && is_zero(request->data + at, PAGE);)
			at += PAGE;
		if (!error && at > from && lseek(request->file, (off_t)(at - from), SEEK_CUR) < 0)
			error = -errno;
	}
	request->held -= end;
	memmove(request->data, request->data + end, request->held);
	return error;
}

/* From a stream the guest's ebb has left out the pages of zeros. */
static int pass_on(struct request *request)
{
	int error = write_all(STDOUT_FILENO, request->data, request->held);

	request->held = 0;
	return error;
}

/* Takes some of what is there. Returns whether there was any. */
static bool take(struct request *request)
{
	ssize_t got = recv(request->in.fd, request->data + request->held,
			   sizeof(request->data) - request->held, MSG_DONTWAIT);

	if (got <= 0)
		return false;
	request->bytes += (uint64_t)got;
	request->held += (size_t)got;
	request->error = request->stream ? pass_on(request) : write_pages(request);
	return true;
}

static void on_data(void *ctx)
{
	take(ctx);
}

/* Serves the loop until the command is answered, or nothing came for a long time, or the disk is full. */
static void receive(struct request *request, struct guests *guests, struct control_call *call)
{
	uint64_t seen = 0;
	int64_t silent_since = clock_ms();

	while (call->pending && !request->error && !request->silent) {
		if (loop_turn(&guests->loop, 1000) < 0)
			break;
		if (request->bytes != seen)
			silent_since = clock_ms();
		seen = request->bytes;
		request->silent = clock_ms() - silent_since > SILENCE_MS;
	}
}

static void say_saved(const struct request *request, const char *name, uint64_t bytes,
		      double stopped)
{
	char size[TEXT_SIZE_MAX], memory[TEXT_SIZE_MAX];

	text_size(size, request->bytes);
	text_size(memory, bytes);
	if (request->stream)
		log_info("%s: saved, %s with %s of its memory; it stood still for %.2f s", name,
			 size, memory, stopped);
	else if (request->what == &the_guest)
		printf("%s: saved in %s, %s with %s of its memory; it stood still for %.2f s\n",
		       name, request->folder, size, memory, stopped);
	else
		printf("%s: has used %s, which is read ahead when %s is restored\n", name, memory,
		       request->folder);
}

static int say_result(const struct request *request, struct guest *guest)
{
	char text[TEXT_MAX];
	const char *why = json_string_value(guest->call.reply);
	json_int_t bytes, saved;
	double stopped;

	if (request->silent) {
		log_error(
			"guest \"%s\" is not saved: its ebb does not answer; it is stopped or stuck",
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
	    bytes < 0 || saved < 0 || (uint64_t)bytes != request->bytes) {
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
	if (!request->stream && publish(request) != 0)
		return EXIT_FAILED;
	say_saved(request, guest->shown, (uint64_t)saved, stopped);
	return EXIT_DONE;
}

/* Has @guest saved. Returns the exit status. */
static int transfer(struct request *request, struct guests *guests, struct guest *guest)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		log_error("cannot make a socket for the snapshot: %s", strerror(errno));
		return EXIT_FAILED;
	}
	request->in = (struct loop_source){pair[0], on_data, request};
	int error = loop_add(&guests->loop, &request->in);
	if (!error) {
		control_client_pass(guest->call.client, pair[1]);
		control_call_start(&guest->call, request->what->command,
				   request->stream ? json_pack("{s:b}", "sparse", true) : NULL,
				   FOREVER_MS);
		receive(request, guests, &guest->call);
		loop_remove(&guests->loop, &request->in);
	}
	request->error = error ? error : request->error;
	close(pair[1]);
	/* The answer can overtake the last bytes, which are in our socket by then. */
	while (!request->error && !guest->call.pending && !guest->call.err && take(request))
		;
	/*
	 * The file has its full size: the rest is no hole, whatever it holds; if there is none, the last page had the
	 * head of the end's section, which is not zero.
	 */
	if (!request->error && !request->stream)
		request->error = write_all(request->file, request->data, request->held);
	return say_result(request, guest);
}

static int snapshot(void *ctx, struct guests *guests, int status)
{
	struct request *request = ctx;

	(void)status;
	if (!request->stream && (open_folder(request) != 0 || open_file(request) != 0))
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
	request->stream = request->folder && strcmp(request->folder, "-") == 0;
	if (!request->folder || !*request->folder)
		log_error("name the folder that the snapshot goes to: ebb snapshot -n NAME DIR");
	else if (request->stream && request->what != &the_guest)
		log_error("--working-set needs the folder that the guest was restored from");
	else if (request->stream && isatty(STDOUT_FILENO))
		log_error("a snapshot is not for a terminal: \"ebb snapshot -n NAME - | ssh HOST "
			  "ebb run --restore - ...\"");
	else
		return true;
	return false;
}

int cmd_snapshot(int argc, char **argv)
{
	struct request request = {.what = &the_guest, .dir = -1, .file = -1, .in.fd = -1};
	int status = cmd_parse(&table, argc, argv, apply, &request);

	if (status >= 0)
		return status;
	if (!check(&request))
		return EXIT_USAGE;
	status = guests_run(&request.choice, snapshot, &request);
	forget(&request, status == EXIT_DONE);
	return status;
}
