// SPDX-License-Identifier: Apache-2.0
/* ebb version. */
#include <stdio.h>

#include "vmm/cmd/cmd.h"
#include "vmm/lib/version.h"

enum { OPTION_JSON };

static const struct option options[] = {
	{OPTION_JSON, 0, "json", NULL, "print JSON", false},
	OPTION_HELP_LINE,
};

static const struct option_table table = {"ebb version", NULL, "Prints the version of ebb.",
					  options, 2};

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	bool *json = ctx;
	(void)id, (void)value, (void)error;
	*json = true;
	return 0;
}

int cmd_version(int argc, char **argv)
{
	bool json = false;
	int status = cmd_parse(&table, argc, argv, apply, &json);
	if (status >= 0)
		return status;
	puts(json ? "{\"version\": \"" EBB_VERSION "\"}" : "ebb " EBB_VERSION);
	return EXIT_DONE;
}
