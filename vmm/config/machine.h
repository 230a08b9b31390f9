/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's CPUs and its name. The options are in machine.c. */
#ifndef EBB_CONFIG_MACHINE_H
#define EBB_CONFIG_MACHINE_H

#include <stdbool.h>

#include "vmm/lib/cpulist.h"
#include "vmm/lib/options.h"

#define VM_WEIGHT     100 /* without --weight */
#define VM_WEIGHT_MAX 10000

enum vm_sandbox {
	VM_SANDBOX_ON, /* all that the host lets ebb give up */
	VM_SANDBOX_REQUIRE,
	VM_SANDBOX_OFF,
};

struct vm_machine {
	const char *name; /* points into argv, or NULL: the caller makes a name from the PID */
	unsigned int cpus;
	struct cpulist vcpu_affinity; /* the host's CPUs that all vCPUs run on; empty: any */
	const char *irqchip;	      /* "gicv2", "gicv3", or NULL: whichever the host has */
	bool pmu;		      /* performance counters */
	unsigned int weight;	      /* against other guests', for the keeper */
	bool debug;		      /* print ebb's actions to standard error */
	enum vm_sandbox sandbox;
};

/* Reads a value of --sandbox, the keeper's, too. Returns 0, or -EINVAL with @error set. */
int vm_sandbox_parse(const char *text, enum vm_sandbox *sandbox, struct option_error *error);

#endif
