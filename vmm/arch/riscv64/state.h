/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of a riscv64 machine, and its device tree.
 *
 * Sources: Documentation/virt/kvm/api.rst (KVM_GET_ONE_REG), arch/riscv/include/uapi/asm/kvm.h;
 * bindings riscv/cpus and extensions, interrupt-controller/riscv,cpu-intc, sifive,plic-1.0.0,
 * riscv,aplic and riscv,imsics; for google,goldfish-rtc: drivers/rtc/rtc-goldfish.c.
 */
#ifndef EBB_ARCH_RISCV64_STATE_H
#define EBB_ARCH_RISCV64_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/rtc/goldfish.h"
#include "vmm/arch/fdt/tree.h"
#include "vmm/arch/riscv64/layout.h"
#include "vmm/arch/riscv64/plic.h"

#define RISCV64_EXTENSIONS_MAX 96 /* indexed by KVM's numbers */

/* KVM's description of the first vCPU; all vCPUs are alike. */
struct riscv64_cpu {
	uint64_t timebase;   /* Hz */
	uint64_t satp;	     /* satp's mode for the deepest page tables: 8, 9 or 10 */
	uint64_t cbom, cboz; /* block sizes in bytes; 0: no such extension */
	bool has[RISCV64_EXTENSIONS_MAX];
};

struct arch_state {
	int aia;      /* file descriptor of KVM's device, or -1: then there is a PLIC */
	uint32_t ids; /* number of interrupts that an IMSIC tells apart */
	unsigned int cpus;
	struct riscv64_cpu cpu;
	struct plic plic;
	struct goldfish clock;
	int vcpu[RISCV64_CPUS_MAX]; /* file descriptors, for the PLIC */
};

/* The number of extensions that ebb knows, from KVM's number 0 on. */
extern const unsigned int riscv64_extensions;

/* Pure. Writes "rv64imafdc_zicsr…" to @out, cut off at @size. Returns the length as snprintf(). */
size_t riscv64_isa(const struct riscv64_cpu *cpu, char *out, size_t size);

/* Pure. Returns the architecture's part of the device tree; @state outlives it. */
struct fdt_arch riscv64_tree(struct arch_state *state);

/* Create and start KVM's controller, if it has one. Return 0, or -errno after an error message. */
int riscv64_aia_init(struct arch_state *state, const struct vm *vm);
int riscv64_aia_start(const struct arch_state *state);

#endif
