// SPDX-License-Identifier: Apache-2.0
#include "vmm/cmd/cmd.h"

#include <stdio.h>

#include "vmm/lib/log.h"

int cmd_parse(const struct option_table *table, int argc, char **argv, option_apply *apply,
	      void *ctx)
{
	char text[512];
	struct option_error error = {text, sizeof(text)};
	switch (options_parse(table, argc - 1, argv + 1, apply, ctx, &error)) {
	case OPTIONS_HELP:
		options_usage(table, stdout);
		return EXIT_DONE;
	case OPTIONS_ERROR:
		log_error("%s", text);
		return EXIT_USAGE;
	default:
		return -1;
	}
}
