// SPDX-License-Identifier: Apache-2.0
/* ebb stat: shows figures about a guest's memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/cmd/cmd.h"
#include "vmm/cmd/guests.h"
#include "vmm/lib/clock.h"
#include "vmm/control/guest_stat.h"
#include "vmm/lib/log.h"
#include "vmm/lib/table.h"

#define FRESH_MS 1000 /* time for a guest to send its statistics */
#define POLL_MS	 20

enum {
	OPTION_MEMORY,
	OPTION_JSON,
	OPTION_PROMETHEUS,
	OPTION_REFRESH,
	OPTION_NO_REFRESH,
	OPTION_CONTROL,
};

static const struct option options[] = {
	OPTION_NAME_LINE,
	OPTION_ALL_LINE,
	{OPTION_MEMORY, 'm', "memory", NULL, "show only the guest's statistics, as kvmtool does",
	 false},
	{OPTION_JSON, 0, "json", NULL, "print JSON, with sizes in bytes", false},
	{OPTION_PROMETHEUS, 0, "prometheus", NULL, "print metrics for Prometheus", false},
	{OPTION_REFRESH, 0, "refresh", NULL,
	 "exit with 3 if the guest does not send fresh\nstatistics, instead of only a warning",
	 false},
	{OPTION_NO_REFRESH, 0, "no-refresh", NULL, "show the statistics that the guest sent last",
	 false},
	{OPTION_CONTROL, 0, "control", "PATH",
	 "the guest that was started with\n--control-read-only PATH; with --no-refresh", false},
	OPTION_HELP_LINE,
};

static const struct option_table table = {
	"ebb stat", NULL,
	"Shows a guest's memory, balloon, disks, networks,\nand its own statistics.", options,
	sizeof(options) / sizeof(options[0])};

struct request {
	struct guest_choice choice;
	int format; /* -1, or one of the options */
	bool insist, keep;
};

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	struct request *request = ctx;
	if (id == OPTION_REFRESH || id == OPTION_NO_REFRESH) {
		request->insist |= id == OPTION_REFRESH;
		request->keep |= id == OPTION_NO_REFRESH;
		if (request->insist && request->keep)
			return options_fail(error, "--refresh and --no-refresh cannot be combined");
	} else if (id == OPTION_CONTROL) {
		request->choice.path = value;
	} else if (id <= OPTION_PROMETHEUS) {
		if (request->format >= 0 && request->format != id)
			return options_fail(error, "only one of -m, --json and --prometheus "
						   "can be given");
		request->format = id;
	}
	return guest_choice_apply(&request->choice, id, value, error);
}

/* --- fresh statistics ------------------------------------------------------------------------ */

#define UPDATES "guest-stats/updates"

static bool is_running(const struct guest *guest)
{
	return strcmp(guest_stat_text(guest->stat, "status"), "running") == 0;
}

static uint64_t updates(const struct guest *guest)
{
	return guest_stat_number(guest->stat, UPDATES, UINT64_MAX);
}

static int take_stat(void *ctx, struct guest *guest)
{
	(void)ctx;
	return guest_take_stat(guest) ? EXIT_DONE : EXIT_FAILED;
}

/* Sets guest->mark to the number of updates that the guest had sent when it was asked for one. */
static int take_request(void *ctx, struct guest *guest)
{
	const json_t *sent = json_object_get(guest->reply, "updates");
	(void)ctx;
	guest->mark = updates(guest);
	if (json_is_integer(sent) && json_integer_value(sent) >= 0)
		guest->mark = (uint64_t)json_integer_value(sent);
	return EXIT_DONE;
}

/* Also ends the wait for a paused guest, which cannot answer. */
static bool is_fresh(void *ctx, struct guest *guest)
{
	(void)ctx;
	return !guest_take_stat(guest) || !is_running(guest) || updates(guest) > guest->mark;
}

/* Returns EXIT_LATE after a warning if the statistics are old. */
static int say_old(void *ctx, struct guest *guest)
{
	(void)ctx;
	if (!guest->stat || updates(guest) == UINT64_MAX || updates(guest) > guest->mark)
		return EXIT_DONE;
	log_warn("guest \"%s\" %s: its own statistics are %s", guest->shown,
		 is_running(guest) ? "did not answer in time" : "is paused",
		 updates(guest) ? "old" : "missing");
	return EXIT_LATE;
}

/* Asks each running guest that has statistics, then waits for all of them at once. */
static int refresh(struct guests *guests)
{
	for (size_t i = 0; i < guests->count; i++) {
		struct guest *guest = guests->guest[i];
		guest->asked = guest->stat && updates(guest) != UINT64_MAX && is_running(guest);
	}
	guests_ask_quietly(guests, "x-ebb-stats-request", NULL, CONTROL_ANSWER_MS);
	guests_finish(guests, EXIT_DONE, take_request, NULL);
	guests_poll(guests, "x-ebb-stat", POLL_MS, FRESH_MS, is_fresh, NULL);
	return guests_finish(guests, EXIT_DONE, say_old, NULL);
}

/* --- showing --------------------------------------------------------------------------------- */

static void print_metrics(const struct guests *guests)
{
	json_t *all = json_array();
	for (size_t i = 0; i < guests->count; i++)
		json_array_append_new(all, json_pack("{s:s, s:O?}", "name", guests->guest[i]->shown,
						     "stat", guests->guest[i]->stat));
	guest_stat_print_metrics(all, stdout);
	json_decref(all);
}

static void print_objects(const struct guests *guests, bool all)
{
	json_t *array = json_array();
	for (size_t i = 0; i < guests->count; i++)
		if (guests->guest[i]->stat)
			json_array_append(array, guests->guest[i]->stat);
	table_print_json(all ? array : json_array_get(array, 0), stdout);
	json_decref(array);
}

static void show(const struct request *request, const struct guests *guests)
{
	if (request->format == OPTION_PROMETHEUS)
		return print_metrics(guests);
	if (request->format == OPTION_JSON)
		return print_objects(guests, request->choice.all);
	for (size_t i = 0; i < guests->count; i++) {
		const json_t *stat = guests->guest[i]->stat;
		if (!stat)
			continue;
		if (request->format == OPTION_MEMORY) {
			guest_stat_print_memory(stat, stdout);
			continue;
		}
		fputs(i ? "\n" : "", stdout);
		guest_stat_print(stat, stdout);
	}
}

/* Drops the earlier answer of a guest that has failed since. */
static int has_stat(void *ctx, struct guest *guest)
{
	(void)ctx;
	if (guest->call.err) {
		json_decref(guest->stat);
		guest->stat = NULL;
	}
	return guest->stat ? EXIT_DONE : EXIT_FAILED;
}

static int stat_guests(void *ctx, struct guests *guests, int status)
{
	const struct request *request = ctx;
	guests_ask(guests, "x-ebb-stat", NULL, CONTROL_ANSWER_MS);
	status = guests_finish(guests, status, take_stat, NULL);
	int late = request->keep ? EXIT_DONE : refresh(guests);
	status = guests_finish(guests, status, has_stat, NULL);
	if (request->choice.all || guests->guest[0]->stat)
		show(request, guests);
	if (status == EXIT_DONE && request->insist)
		status = late;
	return status;
}

int cmd_stat(int argc, char **argv)
{
	struct request request = {.format = -1};
	int status = cmd_parse(&table, argc, argv, apply, &request);
	if (status < 0 && request.choice.path && request.insist) {
		log_error("a socket that only reads cannot ask the guest: leave --refresh out");
		return EXIT_USAGE;
	}
	/* Such a socket does not make the guest do anything. */
	request.keep |= request.choice.path != NULL;
	return status >= 0 ? status : guests_run(&request.choice, stat_guests, &request);
}
