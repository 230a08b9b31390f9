/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a triple fault means. Kernels reset a PC by one on purpose (Linux's reboot=t, and its last
 * resort), and every broken kernel ends in one.
 *
 * A kernel programs the interrupt controllers only once it can take interrupts, thus exceptions too:
 * from then on a mistake of its own would be told by the kernel itself, and a triple fault is taken
 * for a reset, as QEMU and kvmtool take it. Before that it is a crash. The controllers are looked at
 * because they outlive the vCPU's state, which AMD's processors leave undefined in a shutdown; and
 * because a kernel needs neither a console nor a driver of ours to have come there.
 */
#ifndef EBB_ARCH_X86_64_SHUTDOWN_H
#define EBB_ARCH_X86_64_SHUTDOWN_H

#include <linux/kvm.h>
#include <stdbool.h>

#include "vmm/kvm/vcpu.h"

/*
 * Pure. Whether a kernel has programmed one of the two 8259s (given it vectors, ICW2) or the I/O APIC
 * (let a line through).
 */
bool shutdown_after_interrupts(const struct kvm_pic_state pic[2],
			       const struct kvm_ioapic_state *ioapic);

/* How vCPU @vcpu ends that met a triple fault: VCPU_RESET or VCPU_TRIPLE_FAULT. Its own thread. */
enum vcpu_end shutdown_end(const struct vcpu *vcpu);

#endif
