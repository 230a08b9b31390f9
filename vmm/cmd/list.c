// SPDX-License-Identifier: Apache-2.0
/* ebb list: the live guests of this user. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "vmm/cmd/cmd.h"
#include "vmm/cmd/guests.h"
#include "vmm/cmd/list_images.h"
#include "vmm/control/guest_stat.h"
#include "vmm/lib/log.h"
#include "vmm/lib/table.h"

enum { OPTION_RUN, OPTION_ROOTFS, OPTION_JSON };

static const struct option options[] = {
	{OPTION_RUN, 'i', "run", NULL, "list running guests, as without it", false},
	{OPTION_ROOTFS, 'r', "rootfs", NULL, "list the images, as \"ebb images\" does", false},
	{OPTION_JSON, 0, "json", NULL, "print JSON, with sizes in bytes", false},
	OPTION_HELP_LINE,
};

static const struct option_table table = {"ebb list", NULL, "Lists the running guests.", options,
					  sizeof(options) / sizeof(options[0])};

static const struct table_column columns[] = {
	{"PID", "pid", TABLE_NUMBER},	  {"NAME", "name", TABLE_TEXT},
	{"STATUS", "status", TABLE_TEXT}, {"CPUS", "cpus", TABLE_NUMBER},
	{"MEMORY", "memory", TABLE_SIZE}, {"RSS", "rss", TABLE_SIZE},
	{"OWN", "own", TABLE_SIZE},
};

struct request {
	bool run, rootfs, json;
};

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	struct request *request = ctx;
	(void)value, (void)error;
	request->run |= id == OPTION_RUN;
	request->rootfs |= id == OPTION_ROOTFS;
	request->json |= id == OPTION_JSON;
	return 0;
}

static void set_number(json_t *row, const char *key, const json_t *stat, const char *path)
{
	uint64_t number = guest_stat_number(stat, path, UINT64_MAX);
	if (number != UINT64_MAX)
		json_object_set_new(row, key, json_integer((json_int_t)number));
}

/* The table's word for @status, to which it adds what a reader must not overlook. */
static json_t *status_word(const char *status, const char *sandbox, bool json)
{
	if (json || !*sandbox || strcmp(sandbox, "on") == 0)
		return json_string(status);
	return json_sprintf("%s, %s", status, strcmp(sandbox, "off") == 0 ? "no sandbox" : sandbox);
}

/* Lists a guest that does not answer, too, with the PID from its lock file. */
static json_t *make_row(const struct guest *guest, bool json)
{
	const json_t *stat = guest->stat;
	const char *status = stat ? guest_stat_text(stat, "status") : "no answer";
	const char *sandbox = stat ? guest_stat_text(stat, "sandbox") : "";
	json_t *row = json_object();
	json_object_set_new(row, "name", json_string(guest->shown));
	json_object_set_new(row, "status", status_word(*status ? status : "?", sandbox, json));
	if (*sandbox)
		json_object_set_new(row, "sandbox", json_string(sandbox));
	if (guest->pid)
		json_object_set_new(row, "pid", json_integer(guest->pid));
	else
		set_number(row, "pid", stat, "pid");
	set_number(row, "cpus", stat, "cpus");
	set_number(row, "memory", stat, "memory/size");
	set_number(row, "rss", stat, "memory/rss");
	uint64_t own = guest_stat_own(stat, UINT64_MAX);
	if (own != UINT64_MAX)
		json_object_set_new(row, "own", json_integer((json_int_t)own));
	return row;
}

static int take_stat(void *ctx, struct guest *guest)
{
	(void)ctx;
	return guest_take_stat(guest) ? EXIT_DONE : EXIT_FAILED;
}

int cmd_list(int argc, char **argv)
{
	struct request request = {0};
	struct guests guests;
	int status = cmd_parse(&table, argc, argv, apply, &request);
	if (status >= 0)
		return status;
	if (request.rootfs && request.run) {
		log_error("--run and --rootfs cannot be combined");
		return EXIT_USAGE;
	}
	if (request.rootfs)
		return list_images(request.json);

	json_t *rows = json_array();
	status = guests_open(&guests, &(struct guest_choice){.all = true});
	guests_ask(&guests, "x-ebb-stat", NULL, CONTROL_ANSWER_MS);
	status = guests_finish(&guests, status, take_stat, NULL);
	for (size_t i = 0; i < guests.count; i++)
		json_array_append_new(rows, make_row(guests.guest[i], request.json));
	guests_close(&guests);
	if (request.json)
		table_print_json(rows, stdout);
	else
		table_print(columns, sizeof(columns) / sizeof(columns[0]), rows, stdout);
	json_decref(rows);
	return status;
}
