// SPDX-License-Identifier: Apache-2.0
/* The options about the guest's balloon. */
#include <errno.h>
#include <string.h>

#include "vmm/config/part.h"

#define MIB (UINT64_C(1) << 20)

enum { BALLOON, NO_BALLOON, DEFLATE_ON_OOM, FREE_PAGE_REPORTING };

static const struct option options[] = {
	{BALLOON, 0, "balloon", "SIZE",
	 "put SIZE into the guest's memory balloon at the\nstart; the guest keeps at least 16M",
	 true},
	{NO_BALLOON, 0, "no-balloon", NULL, "do not give the guest a memory balloon", false},
	{DEFLATE_ON_OOM, 0, "deflate-on-oom", NULL,
	 "let the guest take memory out of the balloon when\nit runs short", false},
	{FREE_PAGE_REPORTING, 0, "free-page-reporting", "on|off",
	 "take back memory as the guest frees it: on or off\n[on, unless memory is locked, or there is no huge\npage to spare]",
	 true},
};

static int set_reporting(struct vm_balloon *balloon, const char *text, struct option_error *error)
{
	if (text && strcmp(text, "off") == 0) {
		balloon->reporting = VM_REPORTING_OFF;
		return 0;
	}
	if (text && strcmp(text, "on") != 0)
		return options_fail(error, "--free-page-reporting is on or off, not \"%s\"", text);
	balloon->wanted = true;
	balloon->reporting = VM_REPORTING_ON;
	return 0;
}

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	struct vm_balloon *balloon = &((struct vm_config *)ctx)->balloon;

	switch (id) {
	case NO_BALLOON:
		balloon->unwanted = true;
		return 0;
	case DEFLATE_ON_OOM:
		balloon->wanted = true;
		balloon->deflate_on_oom = true;
		return 0;
	case FREE_PAGE_REPORTING:
		return set_reporting(balloon, value, error);
	default:
		balloon->wanted = true;
		return value ? options_size("the balloon", value, &balloon->size, error) : 0;
	}
}

/* By default a guest has a balloon and reports; with --nodefaults only if that was asked for. */
static int settle(struct vm_balloon *balloon, bool nodefaults, struct option_error *error)
{
	if (balloon->unwanted && balloon->wanted)
		return options_fail(
			error,
			"--no-balloon cannot be combined with --balloon, --deflate-on-oom or --free-page-reporting");
	if (nodefaults && balloon->reporting == VM_REPORTING_DEFAULT)
		balloon->reporting = VM_REPORTING_OFF;
	if (!nodefaults && !balloon->unwanted)
		balloon->wanted = true;
	return 0;
}

static int check(void *ctx, struct option_error *error)
{
	struct vm_config *config = ctx;
	if (settle(&config->balloon, config->boot.nodefaults, error))
		return -EINVAL;
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
