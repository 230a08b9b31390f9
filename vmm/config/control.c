// SPDX-License-Identifier: Apache-2.0
/* The option for the control socket that only reads. */
#include <stdio.h>
#include <string.h>

#include "vmm/config/part.h"
#include "vmm/lib/option_keys.h"

static const struct option options[] = {
	{0, 0, "control-read-only", "PATH[,group=G]",
	 "make the socket PATH, where programs of yours, and\n"
	 "of the group G's members, may ask for the guest's\n"
	 "figures, as \"ebb stat --control PATH\" does, and\n"
	 "do nothing else",
	 false},
};

enum { GROUP };

static const struct option_key keys[] = {
	{GROUP, "group", "G", false},
};

static const struct option_keys control_keys = {"read-only socket", "PATH", keys,
						sizeof(keys) / sizeof(keys[0])};

static int set(char *field, size_t size, const char *what, const char *value,
	       struct option_error *error)
{
	if (!*value)
		return options_fail(error, "the %s of --control-read-only is empty", what);
	if (strlen(value) >= size)
		return options_fail(
			error,
			"the %s of --control-read-only has %zu bytes; it can have %zu: \"%s\"",
			what, strlen(value), size - 1, value);
	snprintf(field, size, "%s", value);
	return 0;
}

static int apply_key(void *ctx, int id, const char *value, struct option_error *error)
{
	struct vm_control *control = ctx;
	if (id == GROUP)
		return set(control->group, sizeof(control->group), "group", value, error);
	return set(control->path, sizeof(control->path), "path", value, error);
}

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	struct vm_control *control = &((struct vm_config *)ctx)->control;
	(void)id;
	return option_keys_parse(&control_keys, value, apply_key, control, error);
}

const struct option_group config_control = {
	.option = options,
	.options = sizeof(options) / sizeof(options[0]),
	.apply = apply,
};
