// SPDX-License-Identifier: Apache-2.0
/* ebb top: the guests' figures, live. */
#include "vmm/top/top.h"

#include <stdio.h>
#include <unistd.h>

#include "vmm/cmd/cmd.h"
#include "vmm/lib/log.h"

#define INTERVAL_MS  1000
#define INTERVAL_MIN 100

enum { OPTION_ONCE, OPTION_BATCH, OPTION_JSON, OPTION_INTERVAL, OPTION_SORT, OPTION_FILTER };

static const struct option options[] = {
	{OPTION_ONCE, 0, "once", NULL, "print the figures of one interval, and end", false},
	{OPTION_BATCH, 'b', "batch", NULL, "print them after each interval", false},
	{OPTION_JSON, 0, "json", NULL,
	 "print JSON, with sizes in bytes, one line each time;\nwithout --batch, once", false},
	{OPTION_INTERVAL, 'i', "interval", "SECONDS",
	 "between two looks: 1 by default, at least 0.1", false},
	{OPTION_SORT, 's', "sort", "COLUMN", "by its title: HELD by default", false},
	{OPTION_FILTER, 'f', "filter", "TEXT", "only guests with TEXT in their names", false},
	OPTION_HELP_LINE,
};

static const struct option_table table = {
	"ebb top", NULL,
	"Shows the running guests of this user, again each second: their size, what they\n"
	"use, what the host holds for them and what of that is excess, what they report\n"
	"free, have in the balloon, stall for lack of memory, take of CPUs, disks and\n"
	"networks, each in a second, and for how long they have not used their memory.\n"
	"Keys are on the last line.",
	options, sizeof(options) / sizeof(options[0])};

static int apply_interval(struct top_options *request, const char *value,
			  struct option_error *error)
{
	int err = options_seconds("the interval", value, &request->interval, error);
	if (err == 0 && request->interval < INTERVAL_MIN)
		err = options_fail(error, "the interval %s is too short: at least 0.1 s", value);
	return err;
}

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	struct top_options *request = ctx;
	int column;
	switch (id) {
	case OPTION_ONCE:
		request->once = true;
		break;
	case OPTION_BATCH:
		request->batch = true;
		break;
	case OPTION_JSON:
		request->json = true;
		break;
	case OPTION_INTERVAL:
		return apply_interval(request, value, error);
	case OPTION_SORT:
		column = top_column_named(value, error);
		if (column < 0)
			return column;
		request->view.sort = (enum top_column)column;
		break;
	case OPTION_FILTER:
		snprintf(request->view.filter, sizeof(request->view.filter), "%s", value);
		break;
	default:
		break;
	}
	return 0;
}

int cmd_top(int argc, char **argv)
{
	struct top_options request = {.view = top_view_start(), .interval = INTERVAL_MS};
	int status = cmd_parse(&table, argc, argv, apply, &request);
	if (status >= 0)
		return status;
	if (request.once && request.batch) {
		log_error("--once prints one time and --batch many: give one of them");
		return EXIT_USAGE;
	}
	request.once |= request.json && !request.batch;
	request.batch |= request.once;
	if (!request.batch && (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))) {
		log_error("standard input or output is not a terminal: add --once or --batch");
		return EXIT_USAGE;
	}
	return top_run(&request) ? EXIT_FAILED : EXIT_DONE;
}
