// SPDX-License-Identifier: Apache-2.0
/* The options about the guest's CPUs, its name, and the process that runs it. */
#include <errno.h>
#include <string.h>

#include "vmm/config/part.h"
#include "vmm/lib/guest_name.h"

#define CPUS_MAX 4096 /* KVM's limit, which is lower on most hosts, is checked later */

enum { CPUS, NAME, VCPU_AFFINITY, IRQCHIP, PMU, WEIGHT, SANDBOX, DEBUG };

static const struct option options[] = {
	{CPUS, 'c', "cpus", "N", "the guest's CPUs [1]", false},
	{VCPU_AFFINITY, 0, "vcpu-affinity", "CPULIST",
	 "the host's CPUs to run the guest's on, as in 1-3,5", false},
	{NAME, 0, "name", "NAME", "the guest's name on this machine [guest-PID]", false},
	{IRQCHIP, 0, "irqchip", "KIND", "the guest's interrupt controller: gicv2 or gicv3\n(arm64)",
	 false},
	{PMU, 0, "pmu", NULL, "give the guest's CPUs performance counters (arm64)", false},
	{WEIGHT, 0, "weight", "N",
	 "what this guest's memory is worth to the keeper,\n1 to 10000: one of 200 is asked for half of what\none of 100 is, of caches and by its balloon [100]",
	 false},
	{SANDBOX, 0, "sandbox", "on|require|off",
	 "give up all that a guest could misuse [on];\nrequire fails where the host permits less;\noff is for looking into ebb with a debugger",
	 false},
	{DEBUG, 0, "debug", NULL, "print what ebb is doing", false},
};

static int set_cpus(struct vm_machine *machine, const char *text, struct option_error *error)
{
	uint64_t number = 0;
	int err = options_number(text, &number, NULL);
	if (err == -EINVAL || (!err && number == 0))
		return options_fail(error, "\"%s\" is not a number of CPUs; write 1 or more", text);
	if (err || number > CPUS_MAX)
		return options_fail(error, "%s CPUs are too many; write %d or fewer", text,
				    CPUS_MAX);
	machine->cpus = (unsigned int)number;
	return 0;
}

static int set_name(struct vm_machine *machine, const char *text, struct option_error *error)
{
	const char *wrong = vm_name_error(text);
	if (wrong)
		return options_fail(error, "the name \"%s\" %s; write 1 to %d characters, no slash",
				    text, wrong, VM_NAME_MAX);
	machine->name = text;
	return 0;
}

static int set_affinity(struct vm_machine *machine, const char *text, struct option_error *error)
{
	int err = cpulist_parse(&machine->vcpu_affinity, text);
	if (err == -ERANGE)
		return options_fail(error,
				    "\"%s\" has a CPU number that is too large; write %d or less",
				    text, CPULIST_MAX - 1);
	/* A list from a file may end with a newline, but a list from the command line may not. */
	if (err || strchr(text, '\n'))
		return options_fail(error, "\"%s\" is not a list of CPUs; write one such as 1-3,5",
				    text);
	return 0;
}

static int set_irqchip(struct vm_machine *machine, const char *text, struct option_error *error)
{
	if (strcmp(text, "gicv2") != 0 && strcmp(text, "gicv3") != 0)
		return options_fail(
			error, "unknown interrupt controller \"%s\"; write gicv2 or gicv3", text);
	machine->irqchip = text;
	return 0;
}

static int set_weight(struct vm_machine *machine, const char *text, struct option_error *error)
{
	uint64_t number = 0;
	if (options_number(text, &number, NULL) || number == 0 || number > VM_WEIGHT_MAX)
		return options_fail(error, "\"%s\" is not a weight; write a number from 1 to %d",
				    text, VM_WEIGHT_MAX);
	machine->weight = (unsigned int)number;
	return 0;
}

int vm_sandbox_parse(const char *text, enum vm_sandbox *sandbox, struct option_error *error)
{
	static const char *const words[] = {
		[VM_SANDBOX_ON] = "on",
		[VM_SANDBOX_REQUIRE] = "require",
		[VM_SANDBOX_OFF] = "off",
	};
	for (unsigned int i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(text, words[i]) != 0)
			continue;
		*sandbox = i;
		return 0;
	}
	return options_fail(error, "the sandbox is on, require or off, not \"%s\"", text);
}

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	struct vm_machine *machine = &((struct vm_config *)ctx)->machine;
	switch (id) {
	case CPUS:
		return set_cpus(machine, value, error);
	case NAME:
		return set_name(machine, value, error);
	case VCPU_AFFINITY:
		return set_affinity(machine, value, error);
	case IRQCHIP:
		return set_irqchip(machine, value, error);
	case WEIGHT:
		return set_weight(machine, value, error);
	case SANDBOX:
		return vm_sandbox_parse(value, &machine->sandbox, error);
	case PMU:
		machine->pmu = true;
		return 0;
	default:
		machine->debug = true;
		return 0;
	}
}

static void defaults(void *ctx)
{
	struct vm_config *config = ctx;
	config->machine.cpus = 1;
	config->machine.weight = VM_WEIGHT;
}

const struct option_group config_machine = {
	.option = options,
	.options = sizeof(options) / sizeof(options[0]),
	.apply = apply,
	.defaults = defaults,
};
