/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ebb remembers of a riscv64 machine, and its device tree.
 *
 * Sources: Documentation/virt/kvm/api.rst (KVM_GET_ONE_REG), arch/riscv/include/uapi/asm/kvm.h;
 * bindings riscv/cpus and extensions, interrupt-controller/riscv,cpu-intc, sifive,plic-1.0.0,
 * riscv,aplic and riscv,imsics; of google,goldfish-rtc drivers/rtc/rtc-goldfish.c.
 */
#ifndef EBB_ARCH_RISCV64_STATE_H
#define EBB_ARCH_RISCV64_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/rtc/goldfish.h"
#include "vmm/arch/fdt/tree.h"
#include "vmm/arch/riscv64/layout.h"
#include "vmm/arch/riscv64/plic.h"

#define RISCV64_EXTENSIONS_MAX 96 /* by KVM's numbers */

/* All vCPUs are alike: asked of the first. */
struct riscv64_cpu {
	uint64_t timebase;   /* Hz */
	uint64_t satp;	     /* the mode in satp of the deepest page tables: 8, 9 or 10 */
	uint64_t cbom, cboz; /* block sizes, bytes; 0: there are none */
	bool has[RISCV64_EXTENSIONS_MAX];
};

struct arch_state {
	int aia;      /* KVM's device, or -1: then there is a PLIC */
	uint32_t ids; /* of interrupts that an IMSIC tells apart */
	unsigned int cpus;
	struct riscv64_cpu cpu;
	struct plic plic;
	struct goldfish clock;
	int vcpu[RISCV64_CPUS_MAX]; /* file descriptors, for the PLIC */
};

/* How many extensions ebb knows by KVM's numbers. */
extern const unsigned int riscv64_extensions;

/* Pure: "rv64imafdc_zicsr…" into @out. Returns its length, cut off at @size as by snprintf(). */
size_t riscv64_isa(const struct riscv64_cpu *cpu, char *out, size_t size);

/* Pure: the architecture's part of the device tree; @state outlives it. */
struct fdt_arch riscv64_tree(struct arch_state *state);

/* The in-kernel controller, where KVM has one. Each returns 0 or -errno having said why. */
int riscv64_aia_init(struct arch_state *state, const struct vm *vm);
int riscv64_aia_start(const struct arch_state *state);

#endif
