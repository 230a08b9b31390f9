/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of arch_vcpu_postmortem() that are everybody's. Main thread, vCPU stopped. */
#ifndef EBB_ARCH_POSTMORTEM_H
#define EBB_ARCH_POSTMORTEM_H

#include "vmm/kvm/vcpu.h"

/* Logs why vCPU @vcpu ended, as far as that is the same everywhere. */
void postmortem_exit(const struct vcpu *vcpu, enum vcpu_end end);

/* Logs arch_vcpu_registers(). */
void postmortem_registers(const struct vcpu *vcpu);

#endif
