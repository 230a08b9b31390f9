/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of arch_vcpu_postmortem() that all architectures share. Main thread, vCPU stopped. */
#ifndef EBB_ARCH_POSTMORTEM_H
#define EBB_ARCH_POSTMORTEM_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "vmm/kvm/vcpu.h"
#include "vmm/mem/ram.h"

/* Logs why @vcpu ended, if all architectures share the reason. */
void postmortem_exit(const struct vcpu *vcpu, enum vcpu_end end);

/* Logs arch_vcpu_registers(). */
void postmortem_registers(const struct vcpu *vcpu);

/* --- for architectures whose registers KVM numbers: see vcpu_get_reg() ------------------------ */

struct register_name {
	const char *name;
	uint64_t id;
};

/* Prints these registers, four to a line; leaves out those that KVM does not know. */
void postmortem_print(const struct vcpu *vcpu, FILE *out, const struct register_name *reg,
		      size_t count);

/*
 * Logs the four-byte instruction that @pc points to. KVM does not translate addresses here: the
 * instruction can be read only while the guest's MMU is off.
 */
void postmortem_instruction(const struct vcpu *vcpu, uint64_t pc, const struct ram *ram);

#endif
