// SPDX-License-Identifier: Apache-2.0
/* ebb pause and ebb resume: stop a guest's CPUs and let them continue. */
#include "vmm/cmd/cmd.h"
#include "vmm/cmd/guests.h"

static const struct option options[] = {OPTION_NAME_LINE, OPTION_ALL_LINE, OPTION_HELP_LINE};

static int send(void *ctx, struct guests *guests, int status)
{
	guests_ask(guests, ctx, NULL, CONTROL_ANSWER_MS);
	return guests_finish(guests, status, NULL, NULL);
}

static int run_at_each(const struct option_table *table, char *command, int argc, char **argv)
{
	struct guest_choice choice = {0};
	int status = cmd_parse(table, argc, argv, guest_choice_only, &choice);
	return status >= 0 ? status : guests_run(&choice, send, command);
}

int cmd_pause(int argc, char **argv)
{
	static const struct option_table table = {"ebb pause", NULL, "Stops a guest's CPUs.",
						  options, sizeof(options) / sizeof(options[0])};
	return run_at_each(&table, "stop", argc, argv);
}

int cmd_resume(int argc, char **argv)
{
	static const struct option_table table = {"ebb resume", NULL,
						  "Lets a paused guest continue.", options,
						  sizeof(options) / sizeof(options[0])};
	return run_at_each(&table, "cont", argc, argv);
}
