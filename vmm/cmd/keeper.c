// SPDX-License-Identifier: Apache-2.0
/* ebb keeper: gets memory from the guests when the host is short; and what it says of itself. */
#include "vmm/keeper/keeper.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/cmd/cmd.h"
#include "vmm/config/machine.h"
#include "vmm/control/call.h"
#include "vmm/control/runtime.h"
#include "vmm/lib/log.h"
#include "vmm/lib/table.h"
#include "vmm/lib/text.h"

enum { OPTION_DRY_RUN, OPTION_JSON, OPTION_SANDBOX };

static const struct option options[] = {
	{OPTION_DRY_RUN, 0, "dry-run", NULL, "only say which guest would be asked for what", false},
	{OPTION_JSON, 0, "json", NULL, "with status: print JSON, with sizes in bytes", false},
	{OPTION_SANDBOX, 0, "sandbox", "on|require|off",
	 "give up all that a guest could misuse [on];\nrequire fails where the host permits less;\noff is for looking into it with a debugger",
	 false},
	OPTION_HELP_LINE,
};

static const struct option_table table = {
	"ebb keeper", "[status]",
	"Looks after the running guests of this user: when the host is short of memory,\n"
	"asks them for what they hold free, and for page cache. Ctrl-C ends it. With\n"
	"status, shows what the running keeper knows and did.",
	options, sizeof(options) / sizeof(options[0])};

static const struct table_column columns[] = {
	{"NAME", "name", TABLE_TEXT},	      {"STATE", "state", TABLE_TEXT},
	{"RESIDENT", "resident", TABLE_SIZE}, {"HELD FREE", "held", TABLE_SIZE},
	{"CACHES", "caches", TABLE_SIZE},     {"LENT", "lent", TABLE_SIZE},
	{"ASKED", "requests", TABLE_NUMBER},  {"CAME", "came", TABLE_SIZE},
};

/* Of the last request to each guest that was asked. */
static const struct table_column last_columns[] = {
	{"NAME", "name", TABLE_TEXT},	     {"LAST ASKED", "when", TABLE_TEXT},
	{"TO", "means", TABLE_TEXT},	     {"FOR", "asked", TABLE_SIZE},
	{"ANSWER", "answer", TABLE_TEXT},    {"CAME", "came", TABLE_SIZE},
	{"WANTED BACK", "back", TABLE_SIZE}, {"COST", "cost", TABLE_TEXT},
	{"WHY", "why", TABLE_TEXT},
};

struct request {
	bool status, dry_run, json, says_sandbox;
	enum vm_sandbox sandbox;
};

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	struct request *request = ctx;
	if (id == OPTION_WORD && strcmp(value, "status") != 0)
		return options_fail(error, "\"%s\" is not \"status\", the only word here", value);
	request->status |= id == OPTION_WORD;
	request->dry_run |= id == OPTION_DRY_RUN;
	request->json |= id == OPTION_JSON;
	if (id != OPTION_SANDBOX)
		return 0;
	request->says_sandbox = true;
	return vm_sandbox_parse(value, &request->sandbox, error);
}

/* --- status -------------------------------------------------------------------------------- */

static int say_failure(int err)
{
	if (err == -ENOENT)
		log_error("no keeper of this user runs; \"ebb keeper\" starts one");
	else
		log_error("the keeper does not answer: %s",
			  err == -EREMOTEIO ? "it refuses" : strerror(-err));
	return err == -ENOENT ? EXIT_USAGE : EXIT_FAILED;
}

static uint64_t size_of(const json_t *host, const char *key)
{
	json_int_t value = json_integer_value(json_object_get(host, key));
	return value > 0 ? (uint64_t)value : 0;
}

/* Says so if it gave up less than it could. */
static const char *less_sandbox(const json_t *status)
{
	const char *sandbox = json_string_value(json_object_get(status, "sandbox"));
	if (!sandbox || strcmp(sandbox, "on") == 0)
		return "";
	return strcmp(sandbox, "off") == 0 ? " (no sandbox)" : " (no namespaces)";
}

static void print_host(const json_t *status)
{
	const json_t *host = json_object_get(status, "host");
	char total[TEXT_SIZE_MAX], available[TEXT_SIZE_MAX], mark[TEXT_SIZE_MAX];
	bool tight = json_is_true(json_object_get(host, "short"));
	printf("host: %s of %s available; %s %s%s%s\n\n",
	       text_size(available, size_of(host, "available")),
	       text_size(total, size_of(host, "total")),
	       tight ? "short: guests are asked until it has"
		     : "enough: guests are asked when it has less than",
	       text_size(mark, size_of(host, tight ? "high" : "low")),
	       json_is_true(json_object_get(status, "dry-run")) ? " (dry run)" : "",
	       less_sandbox(status));
}

static void print_last(const json_t *guests)
{
	json_t *rows = json_array();
	for (size_t i = 0; i < json_array_size(guests); i++) {
		char when[64];
		json_t *guest = json_array_get(guests, i);
		json_t *last = json_object_get(guest, "last");
		if (!json_is_object(last))
			continue;
		snprintf(when, sizeof(when), "%.0f s ago",
			 json_number_value(json_object_get(last, "ago")));
		json_object_set(last, "name", json_object_get(guest, "name"));
		json_object_set_new(last, "when", json_string(when));
		json_array_append(rows, last);
	}
	if (json_array_size(rows)) {
		putchar('\n');
		table_print(last_columns, sizeof(last_columns) / sizeof(last_columns[0]), rows,
			    stdout);
	}
	json_decref(rows);
}

static int show(const json_t *status, bool json)
{
	const json_t *guests = json_object_get(status, "guests");
	if (!json_is_array(guests) || !json_is_object(json_object_get(status, "host"))) {
		log_error("the keeper answered wrongly");
		return EXIT_FAILED;
	}
	if (json) {
		table_print_json(status, stdout);
		return EXIT_DONE;
	}
	print_host(status);
	table_print(columns, sizeof(columns) / sizeof(columns[0]), guests, stdout);
	print_last(guests);
	return EXIT_DONE;
}

static int show_status(bool json)
{
	struct loop loop;
	struct control_call call;
	int err = loop_init(&loop);
	if (err)
		return say_failure(err);
	control_call_open(&call, &loop, RUNTIME_KEEPER);
	err = control_call_wait(&call, &loop);
	if (!err) {
		control_call_start(&call, KEEPER_STATUS, NULL, CONTROL_ANSWER_MS);
		err = control_call_wait(&call, &loop);
	}
	int status = err ? say_failure(err) : show(call.reply, json);
	control_call_close(&call);
	loop_release(&loop);
	return status;
}

int cmd_keeper(int argc, char **argv)
{
	struct request request = {.status = false};
	int status = cmd_parse(&table, argc, argv, apply, &request);
	if (status >= 0)
		return status;
	if (request.status && (request.dry_run || request.says_sandbox)) {
		log_error("--%s is for a keeper that starts: leave it out with status",
			  request.dry_run ? "dry-run" : "sandbox");
		return EXIT_USAGE;
	}
	if (request.json && !request.status) {
		log_error("--json is for \"ebb keeper status\"");
		return EXIT_USAGE;
	}
	if (request.status)
		return show_status(request.json);
	const struct keeper_config config = {
		.dry_run = request.dry_run,
		.confined = request.sandbox != VM_SANDBOX_OFF,
		.required = request.sandbox == VM_SANDBOX_REQUIRE,
	};
	return keeper_run(&config) ? EXIT_FAILED : EXIT_DONE;
}
