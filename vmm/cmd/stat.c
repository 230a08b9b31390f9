// SPDX-License-Identifier: Apache-2.0
/* ebb stat: all that is known of a guest's memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/cmd/cmd.h"
#include "vmm/cmd/guests.h"
#include "vmm/lib/clock.h"
#include "vmm/control/guest_stat.h"
#include "vmm/lib/log.h"
#include "vmm/lib/table.h"

#define FRESH_MS 1000 /* how long a guest has to send its statistics */
#define POLL_MS	 20

enum { OPTION_MEMORY, OPTION_JSON, OPTION_PROMETHEUS, OPTION_REFRESH, OPTION_NO_REFRESH };

static const struct option options[] = {
	OPTION_NAME_LINE,
	OPTION_ALL_LINE,
	{OPTION_MEMORY, 'm', "memory", NULL, "the guest's own memory statistics, as kvmtool's",
	 false},
	{OPTION_JSON, 0, "json", NULL, "for programs; sizes are in bytes", false},
	{OPTION_PROMETHEUS, 0, "prometheus", NULL, "for Prometheus", false},
	{OPTION_REFRESH, 0, "refresh", NULL,
	 "exit with 3 when the guest does not send fresh\nstatistics (else that is only said)",
	 false},
	{OPTION_NO_REFRESH, 0, "no-refresh", NULL, "show what the guest sent last", false},
	OPTION_HELP_LINE,
};

static const struct option_table table = {
	"ebb stat", NULL, "Shows a guest's memory, balloon, disks, and its own statistics.",
	options, sizeof(options) / sizeof(options[0])};

struct request {
	struct guest_choice choice;
	int format; /* -1, or one of the options */
	bool insist, keep;
};

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	struct request *request = ctx;
	if (id == OPTION_REFRESH || id == OPTION_NO_REFRESH) {
		request->insist = id == OPTION_REFRESH;
		request->keep = !request->insist;
	} else if (id <= OPTION_PROMETHEUS) {
		if (request->format >= 0 && request->format != id)
			return options_fail(error, "-m, --json and --prometheus exclude each "
						   "other; choose one");
		request->format = id;
	}
	return guest_choice_apply(&request->choice, id, value, error);
}

/* --- fresh statistics ------------------------------------------------------------------------ */

#define UPDATES "guest-stats/updates"

/*
 * Asks each guest that has statistics and runs, then waits for all of them at once. @before[i] is
 * how many updates guest i had sent when it was asked, or UINT64_MAX where it is not waited for.
 */
static void ask(struct guests *guests, json_t **stat, uint64_t *before)
{
	for (size_t i = 0; i < guests->count; i++) {
		json_t *answer = NULL;
		before[i] = guest_stat_number(stat[i], UPDATES, UINT64_MAX);
		/* A guest that is paused cannot answer. */
		if (before[i] == UINT64_MAX ||
		    strcmp(guest_stat_text(stat[i], "status"), "running") != 0)
			continue;
		if (guest_run_quietly(&guests->guest[i], "x-ebb-stats-request", NULL, &answer) ==
		    EXIT_DONE) {
			const json_t *updates = json_object_get(answer, "updates");
			if (json_is_integer(updates) && json_integer_value(updates) >= 0)
				before[i] = (uint64_t)json_integer_value(updates);
		}
		json_decref(answer);
	}
}

static bool is_fresh(const json_t *stat, uint64_t before)
{
	return before == UINT64_MAX || guest_stat_number(stat, UPDATES, 0) > before;
}

static bool wait_for(struct guests *guests, json_t **stat, uint64_t *before)
{
	bool all = true;
	for (size_t i = 0; i < guests->count; i++) {
		if (!stat[i] || is_fresh(stat[i], before[i]) ||
		    strcmp(guest_stat_text(stat[i], "status"), "running") != 0)
			continue;
		json_t *newer = guest_stat(&guests->guest[i]);
		json_decref(stat[i]);
		stat[i] = newer;
		all = all && (!newer || is_fresh(newer, before[i]));
	}
	return all;
}

/* Says so where statistics are old. Returns EXIT_LATE for any. */
static int say_old(const struct guests *guests, json_t **stat, const uint64_t *before)
{
	int status = EXIT_DONE;
	for (size_t i = 0; i < guests->count; i++) {
		if (!stat[i] || is_fresh(stat[i], before[i]))
			continue;
		status = EXIT_LATE;
		bool paused = strcmp(guest_stat_text(stat[i], "status"), "running") != 0;
		log_warn("guest \"%s\" %s: its own statistics are %s", guests->guest[i].shown,
			 paused ? "is paused" : "did not answer in time",
			 guest_stat_number(stat[i], UPDATES, 0) ? "old" : "missing");
	}
	return status;
}

static int refresh(struct guests *guests, json_t **stat, uint64_t *before)
{
	ask(guests, stat, before);
	long long end = clock_ms() + FRESH_MS;
	while (!wait_for(guests, stat, before) && clock_ms() < end)
		clock_sleep_ms(POLL_MS);
	return say_old(guests, stat, before);
}

/* --- showing --------------------------------------------------------------------------------- */

static void print_metrics(const struct guests *guests, json_t **stat)
{
	json_t *all = json_array();
	for (size_t i = 0; i < guests->count; i++)
		json_array_append_new(all, json_pack("{s:s, s:O?}", "name", guests->guest[i].shown,
						     "stat", stat[i]));
	guest_stat_print_metrics(all, stdout);
	json_decref(all);
}

static void print_objects(const struct guests *guests, json_t **stat, bool all)
{
	json_t *array = json_array();
	for (size_t i = 0; i < guests->count; i++)
		if (stat[i])
			json_array_append(array, stat[i]);
	table_print_json(all ? array : json_array_get(array, 0), stdout);
	json_decref(array);
}

static void show(const struct request *request, const struct guests *guests, json_t **stat)
{
	if (request->format == OPTION_PROMETHEUS)
		return print_metrics(guests, stat);
	if (request->format == OPTION_JSON)
		return print_objects(guests, stat, request->choice.all);
	for (size_t i = 0; i < guests->count; i++) {
		if (!stat[i])
			continue;
		if (request->format == OPTION_MEMORY) {
			guest_stat_print_memory(stat[i], stdout);
			continue;
		}
		fputs(i ? "\n" : "", stdout);
		guest_stat_print(stat[i], stdout);
	}
}

static int stat_guests(const struct request *request, struct guests *guests, int status)
{
	json_t **stat = calloc(guests->count + 1, sizeof(stat[0]));
	uint64_t *before = calloc(guests->count + 1, sizeof(before[0]));
	if (!stat || !before) {
		log_error("out of memory");
		status = EXIT_FAILED;
		goto out;
	}
	for (size_t i = 0; i < guests->count; i++)
		stat[i] = guests->guest[i].client ? guest_stat(&guests->guest[i]) : NULL;
	int late = request->keep ? EXIT_DONE : refresh(guests, stat, before);
	for (size_t i = 0; i < guests->count; i++)
		status = stat[i] ? status : EXIT_FAILED;
	if (guests->count && (request->choice.all || stat[0]))
		show(request, guests, stat);
	else if (request->choice.all && request->format >= OPTION_JSON)
		show(request, guests, stat);
	if (status == EXIT_DONE && request->insist)
		status = late;
out:
	for (size_t i = 0; stat && i < guests->count; i++)
		json_decref(stat[i]);
	free(before);
	free(stat);
	return status;
}

int cmd_stat(int argc, char **argv)
{
	struct request request = {.format = -1};
	struct guests guests;
	int status = cmd_parse(&table, argc, argv, apply, &request);
	if (status >= 0)
		return status;
	status = guests_open(&guests, &request.choice);
	if (status == EXIT_DONE || request.choice.all)
		status = stat_guests(&request, &guests, status);
	guests_close(&guests);
	return status;
}
