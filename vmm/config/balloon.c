// SPDX-License-Identifier: Apache-2.0
/* The options about the guest's balloon. */
#include "vmm/config/part.h"

#define MIB (UINT64_C(1) << 20)

enum { BALLOON, DEFLATE_ON_OOM, FREE_PAGE_REPORTING };

static const struct option options[] = {
	{BALLOON, 0, "balloon", "SIZE",
	 "give the guest a memory balloon, with SIZE in it\nat the start; the guest keeps at least 16M",
	 true},
	{DEFLATE_ON_OOM, 0, "deflate-on-oom", NULL,
	 "let the guest take memory out of the balloon when\nit runs short (implies --balloon)",
	 false},
	{FREE_PAGE_REPORTING, 0, "free-page-reporting", NULL,
	 "take back memory as the guest frees it\n(implies --balloon)", false},
};

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	struct vm_balloon *balloon = &((struct vm_config *)ctx)->balloon;

	balloon->wanted = true;
	switch (id) {
	case DEFLATE_ON_OOM:
		balloon->deflate_on_oom = true;
		return 0;
	case FREE_PAGE_REPORTING:
		balloon->free_page_reporting = true;
		return 0;
	default:
		return value ? options_size("the balloon", value, &balloon->size, error) : 0;
	}
}

static int check(void *ctx, struct option_error *error)
{
	const struct vm_config *config = ctx;
	uint64_t most = config->memory.size - VM_MEMORY_MIN;
	if (most > VM_BALLOON_MAX)
		most = VM_BALLOON_MAX / MIB * MIB;
	if (config->balloon.size <= most)
		return 0;
	return options_fail(
		error,
		"a balloon of %lluM is too large for a guest with %lluM, which keeps at least 16M; write %lluM or less",
		(unsigned long long)(config->balloon.size / MIB),
		(unsigned long long)(config->memory.size / MIB), (unsigned long long)(most / MIB));
}

const struct option_group config_balloon = {
	.option = options,
	.options = sizeof(options) / sizeof(options[0]),
	.apply = apply,
	.check = check,
};
