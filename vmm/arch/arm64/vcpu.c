// SPDX-License-Identifier: Apache-2.0
/*
 * A vCPU's features, initial state and registers. The boot vCPU starts as Documentation/arch/arm64/
 * booting.rst requires (x0: the device tree); the others wait for the guest's PSCI CPU_ON.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/arch/arm64/state.h"
#include "vmm/arch/postmortem.h"
#include "vmm/lib/log.h"

#define CORE_REG(name)                                                                             \
	(KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG(name))

#define MPIDR_EL1  ARM64_SYS_REG(3, 0, 0, 0, 5)
#define SCTLR_EL1  ARM64_SYS_REG(3, 0, 1, 0, 0)
#define TTBR1_EL1  ARM64_SYS_REG(3, 0, 2, 0, 1)
#define ESR_EL1	   ARM64_SYS_REG(3, 0, 5, 2, 0)
#define FAR_EL1	   ARM64_SYS_REG(3, 0, 6, 0, 0)
#define VBAR_EL1   ARM64_SYS_REG(3, 0, 12, 0, 0)
#define MPIDR_MASK 0xff00ffffffULL /* affinity 3, and 2 to 0 */

#define GENERAL 31 /* x0 to x30 */

int arch_vcpu_init(struct arch_platform *platform, const struct vcpu *vcpu)
{
	struct kvm_vcpu_init init;
	if (ioctl(platform->vm->fd, KVM_ARM_PREFERRED_TARGET, &init) < 0) {
		int error = errno;
		log_error("KVM has no kind of vCPU for this host's processors: %s",
			  strerror(error));
		return -error;
	}
	init.features[0] |= 1U << KVM_ARM_VCPU_PSCI_0_2;
	if (vcpu->index != 0)
		init.features[0] |= 1U << KVM_ARM_VCPU_POWER_OFF;
	if (platform->pmu && vm_capability(platform->vm, KVM_CAP_ARM_PMU_V3) == 0) {
		log_error(
			"this host's KVM has no performance counters for guests: leave --pmu out");
		return -EOPNOTSUPP;
	}
	if (platform->pmu)
		init.features[0] |= 1U << KVM_ARM_VCPU_PMU_V3;
	platform->state->vcpu[vcpu->index] = vcpu->fd;
	int error = vcpu_ioctl(vcpu, KVM_ARM_VCPU_INIT, &init, "features");
	if (error)
		return error;

	uint64_t *mpidr = &platform->state->mpidr[vcpu->index];
	error = vcpu_get_reg(vcpu, MPIDR_EL1, mpidr);
	if (error)
		log_error("cannot read vCPU %u's MPIDR from KVM: %s", vcpu->index,
			  strerror(-error));
	*mpidr &= MPIDR_MASK;
	return error;
}

int arch_vcpu_enter(const struct vcpu *vcpu, const struct arch_entry *entry)
{
	int error = vcpu_set_reg(vcpu, CORE_REG(regs.pc), entry->pc, "program counter");
	return error ? error
		     : vcpu_set_reg(vcpu, CORE_REG(regs.regs[0]), entry->argument, "registers");
}

enum vcpu_end arch_vcpu_exit(const struct vcpu *vcpu, const struct vcpu_host *host)
{
	(void)vcpu, (void)host;
	return VCPU_UNKNOWN_EXIT;
}

int arch_vcpu_nmi(const struct vcpu *vcpu)
{
	(void)vcpu;
	return -EOPNOTSUPP;
}

/* --- output for the user ---------------------------------------------------------------------- */

void arch_vcpu_registers(const struct vcpu *vcpu, FILE *out)
{
	static const struct register_name first[] = {
		{"pc", CORE_REG(regs.pc)},
		{"sp", CORE_REG(sp_el1)},
		{"pstat", CORE_REG(regs.pstate)},
	};
	static const struct register_name system[] = {
		{"elr", CORE_REG(elr_el1)}, {"esr", ESR_EL1},	  {"far", FAR_EL1},
		{"vbar", VBAR_EL1},	    {"sctlr", SCTLR_EL1}, {"ttbr1", TTBR1_EL1},
		{"mpidr", MPIDR_EL1},
	};
	/* The numbers of core registers count 32-bit halves. */
	const uint64_t step = CORE_REG(regs.regs[1]) - CORE_REG(regs.regs[0]);
	struct register_name general[GENERAL];
	char name[GENERAL][8];

	for (unsigned int i = 0; i < GENERAL; i++) {
		snprintf(name[i], sizeof(name[i]), "x%u", i);
		general[i] = (struct register_name){name[i], CORE_REG(regs.regs[0]) + i * step};
	}
	postmortem_print(vcpu, out, first, sizeof(first) / sizeof(first[0]));
	postmortem_print(vcpu, out, general, GENERAL);
	postmortem_print(vcpu, out, system, sizeof(system) / sizeof(system[0]));
}

void arch_vcpu_postmortem(const struct vcpu *vcpu, enum vcpu_end end, const struct ram *ram)
{
	postmortem_exit(vcpu, end);
	postmortem_instruction(vcpu, CORE_REG(regs.pc), ram);
	postmortem_registers(vcpu);
}
