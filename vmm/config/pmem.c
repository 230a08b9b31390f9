// SPDX-License-Identifier: Apache-2.0
/* The option that gives the guest files of the host as memory. */
#include <stdio.h>
#include <string.h>

#include "vmm/config/part.h"
#include "vmm/lib/option_keys.h"

enum { PMEM };

static const struct option options[] = {
	{PMEM | OPTION_AGAIN, 0, "pmem", "FILE[,ro]",
	 "add a raw image as persistent memory: the guest\nmounts /dev/pmem0 with -o dax, and uses the\nhost's page cache, which all guests with this\nfile share, instead of its own; ro: the file\nstays as it is; give up to 2 of them",
	 false},
};

enum { READ_ONLY };

static const struct option_key keys[] = {
	{READ_ONLY, "ro", NULL, false},
};

static const struct option_keys pmem_keys = {"pmem", "FILE", keys, sizeof(keys) / sizeof(keys[0])};

static int apply_key(void *ctx, int id, const char *value, struct option_error *error)
{
	struct vm_pmem *pmem = ctx;

	if (id == READ_ONLY) {
		pmem->read_only = true;
		return 0;
	}
	if (!*value)
		return options_fail(error, "the file name of --pmem is empty; name the file");
	snprintf(pmem->file, sizeof(pmem->file), "%s", value); /* a part of a value fits */
	return 0;
}

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	struct vm_pmems *pmems = &((struct vm_config *)ctx)->pmems;
	(void)id;

	if (pmems->count == VM_PMEMS_MAX)
		return options_fail(error, "--pmem \"%s\" is one too many; a guest can have %d",
				    value, VM_PMEMS_MAX);
	struct vm_pmem *pmem = &pmems->pmem[pmems->count++];
	*pmem = (struct vm_pmem){0};
	return option_keys_parse(&pmem_keys, value, apply_key, pmem, error);
}

static void defaults(void *ctx)
{
	((struct vm_config *)ctx)->pmems.count = 0;
}

const struct option_group config_pmem = {
	.option = options,
	.options = sizeof(options) / sizeof(options[0]),
	.apply = apply,
	.defaults = defaults,
};
