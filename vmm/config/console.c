// SPDX-License-Identifier: Apache-2.0
/* The option about the guest's console. There is only one kind so far, so nothing is stored. */
#include <string.h>

#include "vmm/config/part.h"

enum { CONSOLE };

static const struct option options[] = {
	{CONSOLE, 0, "console", "KIND", "the guest's console: serial [serial]", false},
};

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	(void)ctx, (void)id;
	if (strcmp(value, "serial") != 0)
		return options_fail(error, "unknown console \"%s\"; only \"serial\" is supported",
				    value);
	return 0;
}

const struct option_group config_console = {
	.option = options,
	.options = sizeof(options) / sizeof(options[0]),
	.apply = apply,
};
