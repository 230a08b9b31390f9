// SPDX-License-Identifier: Apache-2.0
/* ebb stop: presses the power button, and after a timeout pulls the plug. */
#include <stdio.h>
#include <string.h>

#include "vmm/cmd/cmd.h"
#include "vmm/cmd/guests.h"
#include "vmm/lib/log.h"

#define TIMEOUT_MS 10000
#define QUIT_MS	   15000 /* for ebb itself: it waits up to ten seconds for the host's disks */

enum { OPTION_TIMEOUT, OPTION_FORCE };

static const struct option options[] = {
	OPTION_NAME_LINE,
	OPTION_ALL_LINE,
	{OPTION_TIMEOUT, 0, "timeout", "SECONDS",
	 "wait up to SECONDS for the guest to power off [10]", false},
	{OPTION_FORCE, 0, "force", NULL, "end the guest at once, without asking it", false},
	OPTION_HELP_LINE,
};

static const struct option_table table = {
	"ebb stop", NULL,
	"Asks a guest to power off, and ends it if it does not in time.\nA paused guest is resumed first, so that it can.",
	options, sizeof(options) / sizeof(options[0])};

struct request {
	struct guest_choice choice;
	unsigned int timeout_ms;
	bool force;
};

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	struct request *request = ctx;
	if (id == OPTION_FORCE)
		request->force = true;
	if (id == OPTION_TIMEOUT)
		return options_seconds("--timeout", value, &request->timeout_ms, error);
	return guest_choice_apply(&request->choice, id, value, error);
}

/* Values of guest->mark. */
enum { NOT_ASKED, ASKED, POWERED_OFF };

static bool is_paused(const struct guest *guest)
{
	const char *status = json_string_value(json_object_get(guest->reply, "status"));
	return status && strcmp(status, "paused") == 0;
}

/* Presses every power button, and waits for the end of the guests that accepted that. */
static void press(struct guests *guests, unsigned int timeout_ms)
{
	guests_ask_quietly(guests, "query-status", NULL, CONTROL_ANSWER_MS);
	for (size_t i = 0; i < guests->count; i++)
		guests->guest[i]->asked = is_paused(guests->guest[i]);
	guests_ask_quietly(guests, "cont", NULL, CONTROL_ANSWER_MS);
	for (size_t i = 0; i < guests->count; i++)
		guests->guest[i]->asked = guests->guest[i]->open && !guests->guest[i]->call.ended;
	guests_ask(guests, "system_powerdown", NULL, CONTROL_ANSWER_MS);
	for (size_t i = 0; i < guests->count; i++) {
		guests->guest[i]->asked = guests->guest[i]->reply != NULL;
		guests->guest[i]->mark = guests->guest[i]->reply ? ASKED : NOT_ASKED;
	}
	guests_wait_end(guests, timeout_ms);
}

/* Ignores errors: the answer may be lost, since the command ends the guest's ebb. */
static void pull_plug(struct guests *guests)
{
	for (size_t i = 0; i < guests->count; i++) {
		struct guest *guest = guests->guest[i];
		guest->asked = guest->open && !guest->call.ended;
		if (guest->open && guest->call.ended)
			guest->mark = POWERED_OFF;
	}
	guests_ask_quietly(guests, "quit", NULL, CONTROL_ANSWER_MS);
	guests_wait_end(guests, QUIT_MS);
}

static int finish(void *ctx, struct guest *guest)
{
	const struct request *request = ctx;
	char pid[16] = "PID";
	if (guest->pid)
		snprintf(pid, sizeof(pid), "%d", guest->pid);
	if (!guest->call.ended) {
		log_error("guest \"%s\" does not end, even by force; kill its process: kill -9 %s",
			  guest->shown, pid);
		return EXIT_LATE;
	}
	printf("%s: %s\n", guest->shown,
	       guest->mark == POWERED_OFF ? "powered off"
	       : request->force		  ? "ended by force"
	       : guest->mark == ASKED	  ? "did not power off in time: ended by force"
					  : "could not be asked to power off: ended by force");
	return EXIT_DONE;
}

static int stop(void *ctx, struct guests *guests, int status)
{
	const struct request *request = ctx;
	if (!request->force)
		press(guests, request->timeout_ms);
	pull_plug(guests);
	return guests_finish(guests, status, finish, ctx);
}

int cmd_stop(int argc, char **argv)
{
	struct request request = {.timeout_ms = TIMEOUT_MS};
	int status = cmd_parse(&table, argc, argv, apply, &request);
	return status >= 0 ? status : guests_run(&request.choice, stop, &request);
}
