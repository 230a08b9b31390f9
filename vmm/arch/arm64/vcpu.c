// SPDX-License-Identifier: Apache-2.0
/*
 * A vCPU's features, first state and registers. The boot vCPU starts as Documentation/arch/arm64/
 * booting.rst wants it (x0: the device tree); the others wait for the guest's PSCI CPU_ON.
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

#define INSTRUCTION 4

static int set(const struct vcpu *vcpu, unsigned long request, const void *argument,
	       const char *what)
{
	if (ioctl(vcpu->fd, request, argument) < 0) {
		int error = errno;
		log_error("cannot set vCPU %u's %s: %s", vcpu->index, what, strerror(error));
		return -error;
	}
	return 0;
}

static int get_reg(const struct vcpu *vcpu, uint64_t id, uint64_t *value)
{
	const struct kvm_one_reg reg = {.id = id, .addr = (uintptr_t)value};
	*value = 0;
	return ioctl(vcpu->fd, KVM_GET_ONE_REG, &reg) < 0 ? -errno : 0;
}

static int set_reg(const struct vcpu *vcpu, uint64_t id, uint64_t value, const char *what)
{
	const struct kvm_one_reg reg = {.id = id, .addr = (uintptr_t)&value};
	return set(vcpu, KVM_SET_ONE_REG, &reg, what);
}

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
	int error = set(vcpu, KVM_ARM_VCPU_INIT, &init, "features");
	if (error)
		return error;

	uint64_t *mpidr = &platform->state->mpidr[vcpu->index];
	error = get_reg(vcpu, MPIDR_EL1, mpidr);
	if (error)
		log_error("cannot read vCPU %u's MPIDR from KVM: %s", vcpu->index,
			  strerror(-error));
	*mpidr &= MPIDR_MASK;
	return error;
}

int arch_vcpu_enter(const struct vcpu *vcpu, const struct arch_entry *entry)
{
	int error = set_reg(vcpu, CORE_REG(regs.pc), entry->pc, "program counter");
	return error ? error : set_reg(vcpu, CORE_REG(regs.regs[0]), entry->argument, "registers");
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

/* --- what a person is told -------------------------------------------------------------------- */

static void print_reg(const struct vcpu *vcpu, FILE *out, const char *name, uint64_t id,
		      const char *end)
{
	uint64_t value;
	if (get_reg(vcpu, id, &value) == 0)
		fprintf(out, "%-5s %016llx%s", name, (unsigned long long)value, end);
}

void arch_vcpu_registers(const struct vcpu *vcpu, FILE *out)
{
	/* A core register's number counts halves of them. */
	const uint64_t step = CORE_REG(regs.regs[1]) - CORE_REG(regs.regs[0]);

	print_reg(vcpu, out, "pc", CORE_REG(regs.pc), " ");
	print_reg(vcpu, out, "sp", CORE_REG(sp_el1), " ");
	print_reg(vcpu, out, "pstat", CORE_REG(regs.pstate), "\n");
	for (unsigned int i = 0; i < 31; i++) {
		char name[8];
		snprintf(name, sizeof(name), "x%u", i);
		print_reg(vcpu, out, name, CORE_REG(regs.regs[0]) + i * step,
			  i % 4 == 3 || i == 30 ? "\n" : " ");
	}
	print_reg(vcpu, out, "elr", CORE_REG(elr_el1), " ");
	print_reg(vcpu, out, "esr", ESR_EL1, " ");
	print_reg(vcpu, out, "far", FAR_EL1, " ");
	print_reg(vcpu, out, "vbar", VBAR_EL1, "\n");
	print_reg(vcpu, out, "sctlr", SCTLR_EL1, " ");
	print_reg(vcpu, out, "ttbr1", TTBR1_EL1, " ");
	print_reg(vcpu, out, "mpidr", MPIDR_EL1, "\n");
}

void arch_vcpu_postmortem(const struct vcpu *vcpu, enum vcpu_end end, const struct ram *ram)
{
	uint64_t pc;
	uint8_t bytes[INSTRUCTION];

	postmortem_exit(vcpu, end);
	/* KVM does not translate addresses here: only before the guest's MMU is on can it be read. */
	if (get_reg(vcpu, CORE_REG(regs.pc), &pc) == 0 &&
	    ram_read(ram, pc, bytes, sizeof(bytes)) == 0)
		log_error("instruction at %#llx: %02x %02x %02x %02x", (unsigned long long)pc,
			  bytes[0], bytes[1], bytes[2], bytes[3]);
	postmortem_registers(vcpu);
}
