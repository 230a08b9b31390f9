// SPDX-License-Identifier: Apache-2.0
/*
 * ebb balloon: sets the size of a guest's balloon. Here a size is the memory *in* the balloon; in
 * QMP's `balloon` it is the memory that is left to the guest.
 */
#include <stdio.h>
#include <string.h>

#include "vmm/cmd/cmd.h"
#include "vmm/cmd/guests.h"
#include "vmm/config/config.h"
#include "vmm/control/guest_stat.h"
#include "vmm/lib/log.h"
#include "vmm/lib/text.h"

#define MIB	(UINT64_C(1) << 20)
#define WAIT_MS 60000
#define POLL_MS 50

enum { OPTION_INFLATE, OPTION_DEFLATE, OPTION_TARGET, OPTION_WAIT };

static const struct option options[] = {
	OPTION_NAME_LINE,
	{OPTION_INFLATE, 'i', "inflate", "MB", "put this many more MiB into the balloon", false},
	{OPTION_DEFLATE, 'd', "deflate", "MB", "take this many MiB out of the balloon", false},
	{OPTION_TARGET, 0, "target", "SIZE",
	 "put SIZE into the balloon in total: a number and\none of B K M G T P, or a number of MiB",
	 false},
	{OPTION_WAIT, 0, "wait", "SECONDS",
	 "wait up to SECONDS [60] until the target is in the\nballoon; exit with 3 if it is not, or is stuck",
	 true},
	OPTION_HELP_LINE,
};

static const struct option_table table = {
	"ebb balloon", NULL,
	"Changes or shows how much of a guest's memory is in its balloon.\n"
	"The guest keeps at least 16 MiB.",
	options, sizeof(options) / sizeof(options[0])};

struct request {
	struct guest_choice choice;
	int action; /* -1, or one of the options */
	uint64_t bytes;
	bool wait;
	unsigned int wait_ms;
};

static int set_megabytes(struct request *request, const char *text, struct option_error *error)
{
	uint64_t number = 0;
	if (options_number(text, &number, NULL) || number > UINT64_MAX / MIB)
		return options_fail(error, "\"%s\" is not a number of MiB; write one such as 64",
				    text);
	request->bytes = number * MIB;
	return 0;
}

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	struct request *request = ctx;
	switch (id) {
	case OPTION_INFLATE:
	case OPTION_DEFLATE:
	case OPTION_TARGET:
		if (request->action >= 0)
			return options_fail(
				error,
				"only one of -i, -d and --target can be given, and only once");
		request->action = id;
		return id == OPTION_TARGET
			       ? options_size("the target", value, &request->bytes, error)
			       : set_megabytes(request, value, error);
	case OPTION_WAIT:
		request->wait = true;
		request->wait_ms = WAIT_MS;
		return value ? options_seconds("--wait", value, &request->wait_ms, error) : 0;
	default:
		return guest_choice_apply(&request->choice, id, value, error);
	}
}

/* --- the figures ----------------------------------------------------------------------------- */

struct state {
	uint64_t memory, target, actual; /* bytes */
	uint64_t own;			 /* the target without what is leased */
	char name[32];			 /* "reached", … */
};

/*
 * Reads the state from the answer to x-ebb-stat. Returns EXIT_DONE, or EXIT_FAILED after an error
 * message.
 */
static int take_state(struct guest *guest, struct state *state)
{
	if (!guest_take_stat(guest))
		return EXIT_FAILED;
	const json_t *stat = guest->stat;
	state->memory = guest_stat_number(stat, "memory/size", UINT64_MAX);
	state->target = guest_stat_number(stat, "balloon/target", UINT64_MAX);
	state->actual = guest_stat_number(stat, "balloon/actual", UINT64_MAX);
	text_escape(state->name, sizeof(state->name), guest_stat_text(stat, "balloon/state"),
		    false);
	if (!json_is_object(json_object_get(stat, "balloon"))) {
		log_error("guest \"%s\" has no balloon; start it with --balloon", guest->shown);
		return EXIT_FAILED;
	}
	if (state->memory == UINT64_MAX || state->target == UINT64_MAX ||
	    state->actual == UINT64_MAX) {
		log_error("guest \"%s\" did not tell how much is in its balloon", guest->shown);
		return EXIT_FAILED;
	}
	/* What is leased goes away by itself: a change counts from the rest. */
	state->own = guest_stat_number(stat, "balloon/leased", 0);
	state->own = state->own < state->target ? state->target - state->own : 0;
	return EXIT_DONE;
}

static void print_state(const struct guest *guest, const struct state *state)
{
	char target[TEXT_SIZE_MAX];
	char actual[TEXT_SIZE_MAX];
	printf("%s: target %s, actual %s, %s\n", guest->shown, text_size(target, state->target),
	       text_size(actual, state->actual), *state->name ? state->name : "?");
}

/* --- changing -------------------------------------------------------------------------------- */

/*
 * Sets *@target, in bytes. Returns EXIT_DONE, or EXIT_FAILED after an error message if the guest is
 * too small for it.
 */
static int new_target(const struct request *request, const struct guest *guest,
		      const struct state *state, uint64_t *target)
{
	uint64_t most = state->memory > VM_MEMORY_MIN ? state->memory - VM_MEMORY_MIN : 0;
	uint64_t bytes = request->bytes;
	if (request->action == OPTION_DEFLATE) {
		*target = bytes < state->own ? state->own - bytes : 0;
		return EXIT_DONE;
	}
	if (request->action == OPTION_INFLATE)
		bytes = bytes > UINT64_MAX - state->own ? UINT64_MAX : bytes + state->own;
	*target = bytes;
	if (bytes <= most)
		return EXIT_DONE;
	log_error(
		"guest \"%s\" has %llu MiB and keeps at least 16: its balloon can hold no more than %lluM",
		guest->shown, (unsigned long long)(state->memory / MIB),
		(unsigned long long)(most / MIB));
	return EXIT_FAILED;
}

static int set_target(struct guests *guests, const struct state *state, uint64_t target)
{
	/* The answer may be wrong: less memory than the balloon holds. */
	uint64_t left = state->memory > target ? state->memory - target : 0;
	guests_ask(guests, "balloon", json_pack("{s:I}", "value", (json_int_t)left),
		   CONTROL_ANSWER_MS);
	return guests->guest[0]->reply ? EXIT_DONE : EXIT_FAILED;
}

static int say_late(const struct guest *guest, const struct state *state, const char *why)
{
	char target[TEXT_SIZE_MAX];
	char actual[TEXT_SIZE_MAX];
	log_error("guest \"%s\" %s: its balloon has %s of %s", guest->shown, why,
		  text_size(actual, state->actual), text_size(target, state->target));
	return EXIT_LATE;
}

/* --- waiting --------------------------------------------------------------------------------- */

struct wait {
	struct state state;
	uint64_t target; /* at the start of the wait */
	int status;	 /* the exit status; -1: not known yet */
};

static int read_state(struct guests *guests, struct state *state)
{
	guests_ask(guests, "x-ebb-stat", NULL, CONTROL_ANSWER_MS);
	return take_state(guests->guest[0], state);
}

static bool has_arrived(void *ctx, struct guest *guest)
{
	struct wait *wait = ctx;
	struct state *state = &wait->state;
	if (take_state(guest, state) != EXIT_DONE) {
		wait->status = EXIT_FAILED;
	} else if (state->target != wait->target) {
		log_error("guest \"%s\" got another target in the meantime", guest->shown);
		wait->status = EXIT_FAILED;
	} else if (state->actual == state->target) {
		wait->status = EXIT_DONE;
	} else if (strcmp(state->name, "stuck") == 0) {
		wait->status = say_late(guest, state, "is stuck");
	}
	return wait->status >= 0;
}

static int wait_for(struct guests *guests, struct state *state, unsigned int wait_ms)
{
	struct guest *guest = guests->guest[0];
	struct wait wait = {.state = *state, .target = state->target, .status = -1};
	guests_poll(guests, "x-ebb-stat", POLL_MS, wait_ms, has_arrived, &wait);
	*state = wait.state;
	if (wait.status >= 0)
		return wait.status;
	if (guest->call.err)
		return EXIT_FAILED;
	return say_late(guest, state,
			strcmp(state->name, "no-driver") == 0 ? "has no driver for its balloon"
							      : "was not ready in time");
}

static int balloon(void *ctx, struct guests *guests, int status)
{
	const struct request *request = ctx;
	struct guest *guest = guests->guest[0];
	struct state state;
	uint64_t target;
	status = read_state(guests, &state);
	if (status != EXIT_DONE)
		return status;
	if (request->action >= 0) {
		status = new_target(request, guest, &state, &target);
		if (status == EXIT_DONE)
			status = set_target(guests, &state, target);
		if (status == EXIT_DONE)
			status = read_state(guests, &state);
		if (status != EXIT_DONE)
			return status;
	}
	if (request->wait)
		status = wait_for(guests, &state, request->wait_ms);
	if (status == EXIT_DONE)
		print_state(guest, &state);
	return status;
}

int cmd_balloon(int argc, char **argv)
{
	struct request request = {.action = -1};
	int status = cmd_parse(&table, argc, argv, apply, &request);
	return status >= 0 ? status : guests_run(&request.choice, balloon, &request);
}
