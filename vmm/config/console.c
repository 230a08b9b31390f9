// SPDX-License-Identifier: Apache-2.0
/* The options about the guest's console. There is only one kind so far, so it is not stored. */
#include <string.h>

#include "vmm/config/part.h"

enum { CONSOLE, DETACH, LOG };

static const struct option options[] = {
	{CONSOLE, 0, "console", "KIND", "the guest's console: serial [serial]", false},
	{DETACH, 0, "detach", NULL,
	 "run without a terminal: return when the guest\nruns, with its name on standard output",
	 false},
	{LOG, 0, "log", "FILE",
	 "with --detach: write the console's output to\nFILE; at 1 MiB it is renamed to FILE.1\n"
	 "[~/.local/state/ebb/NAME.log]",
	 false},
};

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	struct vm_console *console = &((struct vm_config *)ctx)->console;
	if (id == DETACH)
		console->detach = true;
	if (id == LOG)
		return config_file(&console->log, "log", value, error);
	if (id == CONSOLE && strcmp(value, "serial") != 0)
		return options_fail(error, "unknown console \"%s\"; only \"serial\" is supported",
				    value);
	return 0;
}

static int check(void *ctx, struct option_error *error)
{
	const struct vm_console *console = &((const struct vm_config *)ctx)->console;
	if (console->log && !console->detach)
		return options_fail(
			error, "--log needs --detach; without it, the console is this terminal");
	return 0;
}

const struct option_group config_console = {
	.option = options,
	.options = sizeof(options) / sizeof(options[0]),
	.apply = apply,
	.check = check,
};
