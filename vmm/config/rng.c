// SPDX-License-Identifier: Apache-2.0
#include "vmm/config/part.h"

enum { RNG };

static const struct option options[] = {
	{RNG, 0, "rng", NULL, "give the guest random numbers from the host", false},
};

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	struct vm_config *config = ctx;
	(void)id, (void)value, (void)error;
	config->rng.wanted = true;
	return 0;
}

const struct option_group config_rng = {
	.option = options,
	.options = sizeof(options) / sizeof(options[0]),
	.apply = apply,
};
