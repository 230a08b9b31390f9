/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The results of the guest's CPUID instruction: the features that KVM supports, with this guest's
 * topology of one package with @cpus cores of one thread each, whose APIC id is the vCPU's index.
 * Sources: Intel SDM vol. 2 "CPUID", AMD APM vol. 3 appendix E, Documentation/virt/kvm/x86/cpuid.rst.
 */
#ifndef EBB_ARCH_X86_64_CPUID_H
#define EBB_ARCH_X86_64_CPUID_H

#include <linux/kvm.h>
#include <stdbool.h>

#include "vmm/kvm/vm.h"

#define CPUID_ENTRIES_MAX 256

struct cpuid_table {
	struct kvm_cpuid2 head; /* its entries are the array that follows */
	struct kvm_cpuid_entry2 entry[CPUID_ENTRIES_MAX];
};

/* Reads the features that KVM supports. Returns 0, or -errno after an error message. */
int cpuid_supported(const struct vm *vm, struct cpuid_table *table);

/* Pure. Adapts @table to vCPU @index of @cpus. */
void cpuid_fit(struct cpuid_table *table, unsigned int index, unsigned int cpus, bool tsc_deadline);

#endif
