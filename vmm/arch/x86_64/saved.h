/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What KVM keeps of a PC, in a snapshot: the interrupt controllers, the timer and the clock; what is needed to read
 * the processors' state (saved_cpu.c has arch_vcpu_save()). KVM's structs are a stable ABI, and go in whole, each
 * with its size.
 *
 * Sources: Documentation/virt/kvm/api.rst; the order of restoring from the checks in arch/x86/kvm (see the comments).
 */
#ifndef EBB_ARCH_X86_64_SAVED_H
#define EBB_ARCH_X86_64_SAVED_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/kvm/vm.h"
#include "vmm/lib/record.h"
#include "vmm/lib/why.h"

/* Read while /dev/kvm is open. What could not be read is 0: then saving fails, in words. */
struct saved_cpu {
	uint32_t *msr; /* the registers that this KVM saves */
	unsigned int msrs;
	size_t xsave; /* bytes of the extended state; 0: more than ebb knows */
};

/* Thread: main. */
void saved_cpu_init(struct saved_cpu *saved, const struct vm *vm);
void saved_cpu_release(struct saved_cpu *saved);

/* Return 0, or -errno with @why set. Thread and time as for arch_platform_save() and _restore(). */
int saved_chips_save(const struct vm *vm, struct record *record, struct why *why);
int saved_chips_restore(const struct vm *vm, struct record_in *in, struct why *why);

/*
 * Pure. What KVM itself changes in a leaf of CPUID while the guest runs, and is no feature: the bits of @function,
 * @index to ignore when two tables are compared, for eax, ebx, ecx, edx.
 */
void saved_cpuid_moving(uint32_t function, uint32_t index, uint32_t ignored[4]);

#endif
