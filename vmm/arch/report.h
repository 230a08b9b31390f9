/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of arch_vcpu_report() that are everybody's. Main thread, vCPU stopped. */
#ifndef EBB_ARCH_REPORT_H
#define EBB_ARCH_REPORT_H

#include "vmm/kvm/vcpu.h"

/* Logs why vCPU @vcpu ended, as far as that is the same everywhere. */
void report_exit(const struct vcpu *vcpu, enum vcpu_end end);

/* Logs arch_vcpu_registers(). */
void report_registers(const struct vcpu *vcpu);

#endif
