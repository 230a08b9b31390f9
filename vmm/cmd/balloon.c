// SPDX-License-Identifier: Apache-2.0
/*
 * ebb balloon: how much is to be in a guest's balloon. What a person sees here is what is *in* it;
 * QMP's `balloon` counts what is left to the guest.
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
	{OPTION_INFLATE, 'i', "inflate", "MB", "this many MiB more into the balloon", false},
	{OPTION_DEFLATE, 'd', "deflate", "MB", "this many MiB less", false},
	{OPTION_TARGET, 0, "target", "SIZE",
	 "so much in all: a number and one of\nB K M G T P, alone MiB", false},
	{OPTION_WAIT, 0, "wait", "SECONDS",
	 "until it is in the balloon [60]; exit with 3 when it\nis not by then, or no longer moves",
	 true},
	OPTION_HELP_LINE,
};

static const struct option_table table = {
	"ebb balloon", NULL,
	"Changes how much of a guest's memory is in its balloon, or shows it.\n"
	"The guest keeps 16 MiB.",
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
			return options_fail(error, "only one of -i, -d and --target can be "
						   "given, once; leave the others away");
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
	char name[32];			 /* "reached", … */
};

/* Of the answer to x-ebb-stat. Returns EXIT_DONE, or EXIT_FAILED having said why. */
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
		log_error("guest \"%s\" does not say what is in its balloon", guest->shown);
		return EXIT_FAILED;
	}
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

/* What is to be in the balloon, or EXIT_FAILED having said that it cannot be. */
static int new_target(const struct request *request, const struct guest *guest,
		      const struct state *state, uint64_t *target)
{
	uint64_t most = state->memory > VM_MEMORY_MIN ? state->memory - VM_MEMORY_MIN : 0;
	uint64_t bytes = request->bytes;
	if (request->action == OPTION_DEFLATE) {
		*target = bytes < state->target ? state->target - bytes : 0;
		return EXIT_DONE;
	}
	if (request->action == OPTION_INFLATE)
		bytes = bytes > UINT64_MAX - state->target ? UINT64_MAX : bytes + state->target;
	*target = bytes;
	if (bytes <= most)
		return EXIT_DONE;
	log_error(
		"guest \"%s\" has %llu MiB and keeps 16: no more than %lluM can be in its balloon",
		guest->shown, (unsigned long long)(state->memory / MIB),
		(unsigned long long)(most / MIB));
	return EXIT_FAILED;
}

static int set_target(struct guests *guests, const struct state *state, uint64_t target)
{
	/* Only a guest that says nonsense of its memory has less than it has in its balloon. */
	uint64_t left = state->memory > target ? state->memory - target : 0;
	guests_ask(guests, "balloon", json_pack("{s:I}", "value", (json_int_t)left),
		   CONTROL_ANSWER_MS);
	return guests->guest[0]->reply ? EXIT_DONE : EXIT_FAILED;
}

static int say_late(const struct guest *guest, const struct state *state, const char *why)
{
	char target[TEXT_SIZE_MAX];
	char actual[TEXT_SIZE_MAX];
	log_error("guest \"%s\" %s: %s of %s are in its balloon", guest->shown, why,
		  text_size(actual, state->actual), text_size(target, state->target));
	return EXIT_LATE;
}

/* --- waiting --------------------------------------------------------------------------------- */

struct wait {
	struct state state;
	uint64_t target; /* that was there at first */
	int status;	 /* -1: until what is to be in the balloon is in it */
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
		log_error("guest \"%s\" was given another target meanwhile", guest->shown);
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

static int balloon(const struct request *request, struct guests *guests)
{
	struct guest *guest = guests->guest[0];
	struct state state;
	uint64_t target;
	int status = read_state(guests, &state);
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
	struct guests guests;
	int status = cmd_parse(&table, argc, argv, apply, &request);
	if (status >= 0)
		return status;
	status = guests_open(&guests, &request.choice);
	if (status == EXIT_DONE)
		status = balloon(&request, &guests);
	guests_close(&guests);
	return status;
}
