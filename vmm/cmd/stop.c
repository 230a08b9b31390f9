// SPDX-License-Identifier: Apache-2.0
/* ebb stop: the power button, and after a while the plug. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/cmd/cmd.h"
#include "vmm/cmd/guests.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"

#define TIMEOUT_MS 10000
#define QUIT_MS	   5000 /* that ebb itself has to end in */

enum { OPTION_TIMEOUT, OPTION_FORCE };

static const struct option options[] = {
	OPTION_NAME_LINE,
	OPTION_ALL_LINE,
	{OPTION_TIMEOUT, 0, "timeout", "SECONDS", "that a guest has to power off in [10]", false},
	{OPTION_FORCE, 0, "force", NULL, "end it at once, without asking the guest", false},
	OPTION_HELP_LINE,
};

static const struct option_table table = {
	"ebb stop", NULL,
	"Asks a guest to power off, and ends it when it has not in time.\n"
	"A paused guest goes on first, so that it can.",
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

/* Whether the connection to it ends by @end. */
static bool ends(struct guest *guest, long long end)
{
	for (;;) {
		json_t *data = NULL;
		long long left = end - clock_ms();
		int err =
			control_client_event(guest->client, NULL, left > 0 ? (int)left : 0, &data);
		json_decref(data);
		if (err == -ETIMEDOUT || (!err && left <= 0))
			return false;
		/* Whatever else is wrong with the connection, it says nothing of the guest. */
		if (err)
			return err == -EPIPE || err == -ECONNRESET;
	}
}

/* The answer may be lost, since what it answers ends it. */
static int end_by_force(struct guest *guest, const char *why)
{
	guest_run_quietly(guest, "quit", NULL, NULL);
	if (ends(guest, clock_ms() + QUIT_MS)) {
		printf("%s: %s\n", guest->shown, why);
		return EXIT_DONE;
	}
	log_error("guest \"%s\" does not end, even by force; end its process: kill -9 %d",
		  guest->shown, guest->pid);
	return EXIT_LATE;
}

/* Whether the guest has been asked to power off, or had ended already. */
static bool press(struct guest *guest)
{
	json_t *answer = NULL;
	int status = guest_run_quietly(guest, "query-status", NULL, &answer);
	const char *state = json_string_value(json_object_get(answer, "status"));
	if (status == EXIT_DONE && state && strcmp(state, "paused") == 0)
		guest_run_quietly(guest, "cont", NULL, NULL);
	json_decref(answer);
	return guest_run(guest, "system_powerdown", NULL, NULL) == EXIT_DONE;
}

/* All are asked before any is waited for, so that a hundred take no longer than one. */
static int stop(const struct request *request, struct guests *guests, int status)
{
	bool *asked = calloc(guests->count + 1, sizeof(asked[0]));
	for (size_t i = 0; asked && i < guests->count && !request->force; i++)
		asked[i] = guests->guest[i].client && press(&guests->guest[i]);
	long long end = clock_ms() + request->timeout_ms;
	for (size_t i = 0; i < guests->count; i++) {
		struct guest *guest = &guests->guest[i];
		int one = EXIT_DONE;
		if (!guest->client)
			continue;
		if (request->force)
			one = end_by_force(guest, "ended by force");
		else if (ends(guest, asked && asked[i] ? end : 0))
			printf("%s: powered off\n", guest->shown);
		else if (asked && asked[i])
			one = end_by_force(guest, "did not power off in time: ended by force");
		else
			one = end_by_force(guest, "could not be asked to: ended by force");
		status = one > status ? one : status;
	}
	free(asked);
	return status;
}

int cmd_stop(int argc, char **argv)
{
	struct request request = {.timeout_ms = TIMEOUT_MS};
	struct guests guests;
	int status = cmd_parse(&table, argc, argv, apply, &request);
	if (status >= 0)
		return status;
	status = guests_open(&guests, &request.choice);
	if (status == EXIT_DONE || request.choice.all)
		status = stop(&request, &guests, status);
	guests_close(&guests);
	return status;
}
