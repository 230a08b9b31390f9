/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of an arm64 machine, and its device tree.
 *
 * Sources: Documentation/virt/kvm/devices/arm-vgic-v3.rst and arm-vgic.rst, Documentation/virt/kvm/
 * api.rst; bindings arm/cpus, arm/psci, timer/arm,arch_timer, arm/pmu, rtc/arm,pl031, interrupt-controller/arm,gic(-v3).
 */
#ifndef EBB_ARCH_ARM64_STATE_H
#define EBB_ARCH_ARM64_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/arch/arm64/layout.h"
#include "vmm/arch/fdt/tree.h"

struct arch_state {
	int gic; /* file descriptor of KVM's device */
	unsigned int gic_version;
	unsigned int cpus;
	bool pmu;			/* vCPUs have performance counters */
	int vcpu[ARM64_CPUS_MAX];	/* file descriptors, for the counters */
	uint64_t mpidr[ARM64_CPUS_MAX]; /* each processor's affinity, which identifies it */
};

/* Pure. Returns the architecture's part of the device tree; @state outlives it. */
struct fdt_arch arm64_tree(struct arch_state *state);

#endif
