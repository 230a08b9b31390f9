// SPDX-License-Identifier: Apache-2.0
/*
 * ebb clone: saves a guest as `ebb snapshot` does, and starts guests that go on from there. Their memory is a mapping of
 * the snapshot's file, so that its name can go as soon as the last of them runs: the host keeps the file until the last
 * has ended. All of them start, or none stays.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/arch/arch.h"
#include "vmm/cmd/clones.h"
#include "vmm/cmd/cmd.h"
#include "vmm/cmd/guests.h"
#include "vmm/control/guest_stat.h"
#include "vmm/lib/end_signals.h"
#include "vmm/lib/log.h"
#include "vmm/lib/program.h"
#include "vmm/lib/signal_waits.h"
#include "vmm/snapshot/saved_disks.h"

enum { COUNT, FROM, SAVE, PATTERN };

static const struct option options[] = {
	OPTION_NAME_LINE,
	{COUNT, 'c', "count", "N", "how many clones to start [1]", false},
	{FROM, 0, "from", "DIR", "clone the guest that was saved in DIR", false},
	{SAVE, 0, "save", "DIR", "keep the snapshot, in DIR, for more clones later", false},
	{PATTERN, 0, "name-pattern", "PATTERN",
	 "the clones' names, with their number in place of %\n[the guest's name, or the folder's, and -%]",
	 false},
	OPTION_HELP_LINE,
};

static const struct option_table table = {
	"ebb clone", "[-- OPTION...]",
	"Starts guests that go on where a guest is now, without terminals, and prints\n"
	"their names. They share the memory that they do not write to. The guest goes on;\n"
	"if it is paused, it stays so, and they run.\n"
	"CPUs, memory and devices are those of the guest; disks, forwarded ports and other\n"
	"options of \"ebb run\" are given after --, where % is the clone's number, too:\n"
	"ebb clone -n web -c 3 -- -n user,hostfwd=tcp::808%-:80",
	options, sizeof(options) / sizeof(options[0])};

struct request {
	struct guest_choice choice;
	const char *from, *save;
	unsigned int count;
	char **argv; /* to find the first of the options for `ebb run` */
	struct clones clones;
	char name[NAME_MAX + 1]; /* of the guest, or of the folder it was saved in */
	char pattern[CLONES_PATTERN_MAX];
	char folder[PATH_MAX]; /* our own, or "" */
};

/* --- options ------------------------------------------------------------------------------------- */

static int set_count(struct request *request, const char *text, struct option_error *error)
{
	uint64_t number = 0;

	if (options_number(text, &number, NULL) || number == 0 || number > CLONES_MAX)
		return options_fail(error, "\"%s\" is not a number of clones; write 1 to %d", text,
				    CLONES_MAX);
	request->count = (unsigned int)number;
	return 0;
}

/* The first of the options after "--"; all others follow. */
static int set_options(struct request *request, const char *word, struct option_error *error)
{
	if (*word != '-')
		return options_fail(error,
				    "'%s' is no option; -n names the guest, and options of "
				    "\"ebb run\" follow --",
				    word);
	clones_set_options(&request->clones, request->argv, word);
	return OPTIONS_END;
}

static int set_folder(const char **folder, const char *value, struct option_error *error)
{
	if (!*value)
		return options_fail(error, "the snapshot's folder has no name; write one");
	if (strcmp(value, "-") == 0)
		return options_fail(error, CLONES_NO_STREAM);
	*folder = value;
	return 0;
}

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	struct request *request = ctx;

	switch (id) {
	case OPTION_WORD:
		return request->clones.option ? OPTIONS_END : set_options(request, value, error);
	case COUNT:
		return set_count(request, value, error);
	case FROM:
		return set_folder(&request->from, value, error);
	case SAVE:
		return set_folder(&request->save, value, error);
	case PATTERN:
		request->clones.pattern = value;
		return 0;
	default:
		return guest_choice_apply(&request->choice, id, value, error);
	}
}

static int check(const struct request *request)
{
	const char *pattern = request->clones.pattern;

	if (request->from && (request->choice.name || request->save)) {
		log_error("--from cannot be combined with %s: its guest is saved already",
			  request->save ? "--save" : "-n");
		return EXIT_USAGE;
	}
	/* "%%" does not count; the names are compared. */
	if (pattern && request->count > 1) {
		char *first = clones_name(&request->clones, 1),
		     *second = clones_name(&request->clones, 2);
		bool same = first && second && strcmp(first, second) == 0;
		free(first);
		free(second);
		if (same) {
			log_error("the clones need different names: write a %% in \"%s\" where "
				  "their number goes",
				  pattern);
			return EXIT_USAGE;
		}
	}
	return EXIT_DONE;
}

/* --- what is cloned ------------------------------------------------------------------------------ */

/* What its ebb tells of it is enough to find mistakes before it is stopped. */
static int look_at(void *ctx, struct guests *guests, int status)
{
	struct request *request = ctx;
	struct saved_machine *saved = &request->clones.saved;
	struct guest *guest = guests->guest[0];

	guests_ask(guests, "x-ebb-stat", NULL, CONTROL_ANSWER_MS);
	if (!guest->reply || !guest_take_stat(guest))
		return EXIT_FAILED;
	snprintf(request->name, sizeof(request->name), "%s", guest->name);
	saved->cpus = (unsigned int)guest_stat_number(guest->stat, "cpus", 1);
	saved->memory = guest_stat_number(guest->stat, "memory/size", 0);
	saved->disks = (unsigned int)json_array_size(json_object_get(guest->reply, "disks"));
	saved->networks = (unsigned int)json_array_size(json_object_get(guest->reply, "networks"));
	saved->balloons = 1;
	return status;
}

static int look_at_folder(struct request *request)
{
	char whole[PATH_MAX];

	if (saved_machine_find(request->from, arch_map.name, &request->clones.saved) != 0)
		return EXIT_USAGE;
	request->clones.folder = request->from;
	request->clones.disks_saved = saved_disks_count(request->from);
	if (realpath(request->from, whole))
		snprintf(request->name, sizeof(request->name), "%s", strrchr(whole, '/') + 1);
	return EXIT_DONE;
}

/* --- the snapshot -------------------------------------------------------------------------------- */

/* On a disk, not in /tmp, which may be memory: what clones do not use of it need not stay there. */
static int make_folder(struct request *request)
{
	const char *base = getenv("TMPDIR");

	if (request->save) {
		request->clones.folder = request->save;
		return 0;
	}
	if (!base || !*base)
		base = "/var/tmp";
	int len = snprintf(request->folder, sizeof(request->folder), "%s/ebb-clone.XXXXXX", base);
	if (len >= (int)sizeof(request->folder) || !mkdtemp(request->folder)) {
		log_error("cannot make a folder for the snapshot in '%s': %s; TMPDIR names another",
			  base, strerror(len < 0 ? ENAMETOOLONG : errno));
		request->folder[0] = '\0';
		return -EIO;
	}
	request->clones.folder = request->folder;
	return 0;
}

static void remove_folder(const struct request *request)
{
	static const char *const files[] = {"snapshot", "snapshot.unfinished"};
	char path[PATH_MAX + 32];

	if (!request->folder[0])
		return;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", request->folder, files[i]);
		unlink(path);
	}
	if (rmdir(request->folder) < 0)
		log_warn("cannot remove the folder %s: %s", request->folder, strerror(errno));
}

static int save(struct request *request)
{
	char *argv[] = {(char *)"ebb", (char *)"snapshot", (char *)"-n",
			request->name, (char *)"--",	   (char *)request->clones.folder,
			NULL};
	/* Our output is the clones' names: what it says of the snapshot is of use if that is kept. */
	int output = request->save ? STDERR_FILENO : -1;
	const struct program program = {EBB_ITSELF, argv, output, -1, request->clones.mask, 0};

	int status = program_run(&program);
	if (status == 0 &&
	    saved_machine_find(request->clones.folder, arch_map.name, &request->clones.saved) != 0)
		status = EXIT_FAILED;
	if (status < 0 && status != -EINTR)
		log_error("cannot start ebb to save the guest: %s", strerror(-status));
	return status < 0 ? EXIT_FAILED : status;
}

/* --- all of it ----------------------------------------------------------------------------------- */

static int start_all(const struct request *request)
{
	const struct clones *clones = &request->clones;

	for (unsigned int number = 1; number <= request->count; number++) {
		int status = clones_start(clones, number);
		if (status == EXIT_DONE)
			continue;
		if (number > 1)
			log_error("%u of %u clones had started: they are ended again", number - 1,
				  request->count);
		clones_end(clones, 1, number - 1);
		return status;
	}
	for (unsigned int number = 1; number <= request->count; number++) {
		char *name = clones_name(clones, number);
		if (name)
			puts(name);
		free(name);
	}
	return EXIT_DONE;
}

static int clone_guest(struct request *request)
{
	int status = request->from ? look_at_folder(request)
				   : guests_run(&request->choice, look_at, request);
	if (status != EXIT_DONE)
		return status;
	if (!request->clones.pattern) {
		clones_pattern(request->pattern, request->name);
		request->clones.pattern = request->pattern;
	}
	if (!request->from && make_folder(request) != 0)
		return EXIT_FAILED;
	/* The last name is the longest. */
	status = clones_check(&request->clones, request->count);
	if (status == EXIT_DONE)
		status = clones_check_names(&request->clones, request->count);
	if (status == EXIT_DONE && !request->from)
		status = save(request);
	if (status == EXIT_DONE)
		status = clones_check_saved(&request->clones);
	if (status == EXIT_DONE)
		status = start_all(request);
	remove_folder(request);
	if (status != EXIT_DONE && signal_waits())
		log_error("a signal came: no clone stays");
	return status;
}

int cmd_clone(int argc, char **argv)
{
	struct request request = {.count = 1, .argv = argv};
	sigset_t ends, mask;

	int status = cmd_parse(&table, argc, argv, apply, &request);
	if (status >= 0)
		return status;
	status = check(&request);
	if (status != EXIT_DONE)
		return status;
	/* From here on no signal can end it and leave files or guests behind. */
	end_signals_hold(&ends, &mask);
	request.clones.mask = &mask;
	return clone_guest(&request);
}
