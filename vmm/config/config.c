// SPDX-License-Identifier: Apache-2.0
/* Joins the parts. This file does not know their options. */
#include "vmm/config/config.h"

#include <stddef.h>
#include <string.h>

#include "vmm/config/part.h"

/* In the order of the usage text. Each part follows those its check reads: memory after folders, balloon after memory. */
static const struct option_group *const parts[] = {
	&config_boot,	 &config_disks,	  &config_pmem,	   &config_folders, &config_network,
	&config_machine, &config_memory,  &config_balloon, &config_rng,	    &config_vsock,
	&config_console, &config_control, &config_cgroup,
};

static const struct option options[] = {OPTION_HELP_LINE};

static const struct option_table table = {
	.command = "ebb run",
	.words = "[KERNEL]",
	.about = "Runs a Linux guest with its console on this terminal; Ctrl-A x ends it.",
	.option = options,
	.options = sizeof(options) / sizeof(options[0]),
};

static const struct option_set set = {&table, parts, sizeof(parts) / sizeof(parts[0])};

int config_file(const char **file, const char *what, const char *text, struct option_error *error)
{
	if (!*text)
		return options_fail(error, "the %s's file name is empty; name the file", what);
	*file = text;
	return 0;
}

enum config_outcome config_parse(struct vm_config *config, int argc, char **argv, char *error,
				 unsigned int error_size)
{
	struct option_error says = {error, error_size};

	/* Do not touch the memory of the names of disks and folders: there may be none. */
	memset(config, 0, offsetof(struct vm_config, disks.disk));
	/* A word without an option is the kernel. */
	enum option_outcome outcome =
		options_parse_set(&set, argc, argv, config_boot.apply, config, &says);
	return outcome == OPTIONS_HELP	  ? CONFIG_HELP
	       : outcome == OPTIONS_ERROR ? CONFIG_ERROR
					  : CONFIG_RUN;
}

const struct option_set *config_options(void)
{
	return &set;
}

void config_usage(FILE *out)
{
	options_usage_set(&set, out);
}
