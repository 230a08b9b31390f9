/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells whether a triple fault is a reset or a crash. Kernels reset a PC by a triple fault on purpose
 * (Linux's reboot=t, and its last resort), and every broken kernel ends in one.
 *
 * A kernel programs the interrupt controllers only once it can handle interrupts, and thus
 * exceptions. From then on it would report its own faults, so a triple fault counts as a reset, as
 * in QEMU and kvmtool. Before that it is a crash. Check the controllers because their state
 * survives a shutdown, while AMD's processors leave the vCPU's state undefined in one; and because
 * a kernel gets that far without a console or a driver for any of ebb's devices.
 */
#ifndef EBB_ARCH_X86_64_SHUTDOWN_H
#define EBB_ARCH_X86_64_SHUTDOWN_H

#include <linux/kvm.h>
#include <stdbool.h>

#include "vmm/kvm/vcpu.h"

/*
 * Pure. Returns whether a kernel has programmed one of the two 8259s (set its vectors, ICW2) or the I/O
 * APIC (unmasked a line).
 */
bool shutdown_after_interrupts(const struct kvm_pic_state pic[2],
			       const struct kvm_ioapic_state *ioapic);

/* Returns how @vcpu ends after a triple fault: VCPU_RESET or VCPU_TRIPLE_FAULT. The vCPU's own thread. */
enum vcpu_end shutdown_end(const struct vcpu *vcpu);

#endif
