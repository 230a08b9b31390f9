/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's CPUs and its name. The options are in machine.c. */
#ifndef EBB_CONFIG_MACHINE_H
#define EBB_CONFIG_MACHINE_H

#include <stdbool.h>

#include "vmm/lib/cpulist.h"

struct vm_machine {
	const char *name; /* within argv, or NULL: the caller names it after the process */
	unsigned int cpus;
	struct cpulist vcpu_affinity; /* all vCPUs run on these of the host's CPUs; empty: on any */
	const char *irqchip;	      /* "gicv2", "gicv3", or NULL: what the host has */
	bool pmu;		      /* performance counters */
	bool debug;		      /* say what is being done, on standard error */
};

#endif
