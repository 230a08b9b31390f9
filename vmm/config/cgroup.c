// SPDX-License-Identifier: Apache-2.0
/* The option for a cgroup of the guest's own. */
#include <stdio.h>
#include <string.h>

#include "vmm/config/part.h"
#include "vmm/lib/option_keys.h"

enum { CGROUP };

static const struct option options[] = {
	{CGROUP, 0, "cgroup", "PATH[,memory=SIZE][,cpu=N]",
	 "run the guest's processes in a cgroup (version 2)\n"
	 "that ebb makes in the cgroup PATH, such as\n"
	 "/sys/fs/cgroup/guests, and removes: it ends those\n"
	 "that take more memory [RAM + 1/64 + 256M], or\n"
	 "holds them to N percent of one CPU's time; auto is\n"
	 "the cgroup above ebb's own, if that is delegated,\n"
	 "or else a scope of systemd's",
	 false},
};

enum { MEMORY, CPU };

static const struct option_key keys[] = {
	{MEMORY, "memory", "SIZE", false},
	{CPU, "cpu", "N", false},
};

static const struct option_keys cgroup_keys = {"cgroup", "PATH", keys,
					       sizeof(keys) / sizeof(keys[0])};

static int set_path(struct vm_cgroup *cgroup, const char *path, struct option_error *error)
{
	if (!*path)
		return options_fail(error,
				    "the path of --cgroup is empty; name the cgroup to make it in");
	cgroup->automatic = strcmp(path, VM_CGROUP_AUTO) == 0;
	snprintf(cgroup->path, sizeof(cgroup->path), "%s", path); /* a part fits */
	return 0;
}

static int set_cpu(struct vm_cgroup *cgroup, const char *text, struct option_error *error)
{
	uint64_t percent;
	if (options_number(text, &percent, NULL) || !percent || percent > VM_CGROUP_CPU_MAX)
		return options_fail(
			error,
			"\"%s\" is no share of the CPUs; write percents of one, such as 150 for one and a half",
			text);
	cgroup->cpu = (unsigned int)percent;
	return 0;
}

static int set_memory(struct vm_cgroup *cgroup, const char *text, struct option_error *error)
{
	int err = options_size("the cgroup's memory", text, &cgroup->memory, error);
	if (!err && !cgroup->memory)
		return options_fail(
			error,
			"the cgroup's memory must be more than 0; write more, or leave memory= out");
	return err;
}

static int apply_key(void *ctx, int id, const char *value, struct option_error *error)
{
	struct vm_cgroup *cgroup = ctx;
	switch (id) {
	case MEMORY:
		return set_memory(cgroup, value, error);
	case CPU:
		return set_cpu(cgroup, value, error);
	default:
		return set_path(cgroup, value, error);
	}
}

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	struct vm_cgroup *cgroup = &((struct vm_config *)ctx)->cgroup;
	(void)id;
	cgroup->wanted = true;
	return option_keys_parse(&cgroup_keys, value, apply_key, cgroup, error);
}

static int check(void *ctx, struct option_error *error)
{
	struct vm_config *config = ctx;
	struct vm_cgroup *cgroup = &config->cgroup;
	uint64_t ram = config->memory.size;

	(void)error;
	if (!cgroup->memory)
		cgroup->memory = ram + ram / 64 + VM_CGROUP_MORE;
	return 0;
}

const struct option_group config_cgroup = {
	.option = options,
	.options = sizeof(options) / sizeof(options[0]),
	.apply = apply,
	.check = check,
};
