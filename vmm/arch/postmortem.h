/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of arch_vcpu_postmortem() that all architectures share. Main thread, vCPU stopped. */
#ifndef EBB_ARCH_POSTMORTEM_H
#define EBB_ARCH_POSTMORTEM_H

#include "vmm/kvm/vcpu.h"

/* Logs why @vcpu ended, for the reasons that all architectures have. */
void postmortem_exit(const struct vcpu *vcpu, enum vcpu_end end);

/* Logs arch_vcpu_registers(). */
void postmortem_registers(const struct vcpu *vcpu);

#endif
