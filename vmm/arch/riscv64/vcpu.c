// SPDX-License-Identifier: Apache-2.0
/*
 * A vCPU's initial state and registers. The boot vCPU starts as Documentation/arch/riscv/boot.rst
 * requires (a0: its number, a1: the device tree); the others wait for the guest's SBI HSM call. KVM
 * handles the SBI's timers, HSM, reset and remote fences; sbi.c answers the calls that KVM
 * forwards. KVM also forwards reads of the entropy source's register, which are answered here.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/arch/postmortem.h"
#include "vmm/arch/riscv64/state.h"
#include "vmm/arch/riscv64/sbi.h"
#include "vmm/lib/log.h"

#define REG_U64		(KVM_REG_RISCV | KVM_REG_SIZE_U64)
#define CORE_REG(index) (REG_U64 | KVM_REG_RISCV_CORE | (index))
#define CSR_REG(name)	(REG_U64 | KVM_REG_RISCV_CSR | KVM_REG_RISCV_CSR_REG(name))
#define EXT_REG(id)	(REG_U64 | KVM_REG_RISCV_ISA_EXT | (id))

/* Config registers; older headers lack all but the first two. */
#define CONFIG_REG(index) (REG_U64 | KVM_REG_RISCV_CONFIG | (index))
#define CONFIG_CBOM	  1
#define CONFIG_CBOZ	  5
#define CONFIG_SATP	  6

/* Core registers, numbered by their place in user_regs_struct. */
#define PC 0
#define A0 10
#define A1 11

#define SV39 8

/* SBI extensions by KVM's numbers: KVM handles or forwards enabled ones. Old headers lack them. */
#define SBI_REG(number) (REG_U64 | 0x08000000 | (number))
#define SBI_DBCN	9

/* RISC-V cryptography extensions 1.0.1, section 4.1. */
#define CSR_SEED     0x015
#define SEED_WAIT    0x40000000UL
#define SEED_ENTROPY 0x80000000UL /* the low 16 bits are entropy */

static int ask_cpu(const struct vcpu *vcpu, struct riscv64_cpu *cpu)
{
	uint64_t value;
	int error = vcpu_get_reg(vcpu,
				 REG_U64 | KVM_REG_RISCV_TIMER | KVM_REG_RISCV_TIMER_REG(frequency),
				 &cpu->timebase);
	if (error) {
		log_error("cannot read the frequency of the vCPUs' timer from KVM: %s",
			  strerror(-error));
		return error;
	}
	/* The guest does not get extensions that an older KVM does not know. */
	for (unsigned int i = 0; i < riscv64_extensions; i++)
		cpu->has[i] = vcpu_get_reg(vcpu, EXT_REG(i), &value) == 0 && value == 1;
	if (vcpu_get_reg(vcpu, CONFIG_REG(CONFIG_SATP), &cpu->satp) != 0)
		cpu->satp = SV39;
	vcpu_get_reg(vcpu, CONFIG_REG(CONFIG_CBOM), &cpu->cbom);
	vcpu_get_reg(vcpu, CONFIG_REG(CONFIG_CBOZ), &cpu->cboz);
	return 0;
}

int arch_vcpu_init(struct arch_platform *platform, const struct vcpu *vcpu)
{
	/* Ignore failure: without forwarding, KVM tells guests that there is no debug console. */
	const uint64_t on = 1;
	const struct kvm_one_reg debug_console = {.id = SBI_REG(SBI_DBCN), .addr = (uintptr_t)&on};
	ioctl(vcpu->fd, KVM_SET_ONE_REG, &debug_console);
	platform->state->vcpu[vcpu->index] = vcpu->fd;
	return vcpu->index == 0 ? ask_cpu(vcpu, &platform->state->cpu) : 0;
}

int arch_vcpu_enter(const struct vcpu *vcpu, const struct arch_entry *entry)
{
	int error = vcpu_set_reg(vcpu, CORE_REG(PC), entry->pc, "program counter");
	if (!error)
		error = vcpu_set_reg(vcpu, CORE_REG(A0), vcpu->index, "registers");
	if (!error)
		error = vcpu_set_reg(vcpu, CORE_REG(A1), entry->argument, "registers");
	return error;
}

/* Returns the result of reading the entropy source (Zkr): entropy, or a request to wait. */
static unsigned long seed(void)
{
	uint16_t entropy;
	/* The C library's own may take memory at a thread's first call, which a vCPU may not. */
	return syscall(SYS_getrandom, &entropy, sizeof(entropy), GRND_NONBLOCK) == sizeof(entropy)
		       ? SEED_ENTROPY | entropy
		       : SEED_WAIT;
}

static void call_firmware(struct kvm_run *run, const struct vcpu_host *host)
{
	struct sbi_call call = {
		.extension = run->riscv_sbi.extension_id,
		.function = run->riscv_sbi.function_id,
	};
	for (unsigned int i = 0; i < SBI_ARGUMENTS; i++)
		call.argument[i] = run->riscv_sbi.args[i];
	const struct sbi_answer answer = sbi_answer(&call, host->mmio, host->ram);
	run->riscv_sbi.ret[0] = (unsigned long)answer.error;
	run->riscv_sbi.ret[1] = (unsigned long)answer.value;
}

enum vcpu_end arch_vcpu_exit(const struct vcpu *vcpu, const struct vcpu_host *host)
{
	struct kvm_run *run = vcpu->run;

	switch (run->exit_reason) {
	case KVM_EXIT_RISCV_SBI:
		call_firmware(run, host);
		return VCPU_GOES_ON;
	case KVM_EXIT_RISCV_CSR:
		/* The only register that KVM forwards. */
		if (run->riscv_csr.csr_num != CSR_SEED)
			return VCPU_UNKNOWN_EXIT;
		run->riscv_csr.ret_value = seed();
		return VCPU_GOES_ON;
	default:
		return VCPU_UNKNOWN_EXIT;
	}
}

int arch_vcpu_nmi(const struct vcpu *vcpu)
{
	(void)vcpu;
	return -EOPNOTSUPP;
}

/* --- output for the user ---------------------------------------------------------------------- */

void arch_vcpu_registers(const struct vcpu *vcpu, FILE *out)
{
	static const char *const names[] = {
		"pc", "ra", "sp", "gp", "tp",  "t0",  "t1", "t2", "s0", "s1", "a0",
		"a1", "a2", "a3", "a4", "a5",  "a6",  "a7", "s2", "s3", "s4", "s5",
		"s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6",
	};
	static const struct register_name csr[] = {
		{"sstatus", CSR_REG(sstatus)}, {"scause", CSR_REG(scause)}, {"sepc", CSR_REG(sepc)},
		{"stval", CSR_REG(stval)},     {"stvec", CSR_REG(stvec)},   {"sie", CSR_REG(sie)},
		{"sip", CSR_REG(sip)},	       {"satp", CSR_REG(satp)},
	};
	struct register_name core[sizeof(names) / sizeof(names[0])];
	const size_t cores = sizeof(core) / sizeof(core[0]);

	for (size_t i = 0; i < cores; i++)
		core[i] = (struct register_name){names[i], CORE_REG(i)};
	postmortem_print(vcpu, out, core, cores);
	postmortem_print(vcpu, out, csr, sizeof(csr) / sizeof(csr[0]));
}

void arch_vcpu_postmortem(const struct vcpu *vcpu, enum vcpu_end end, const struct ram *ram)
{
	postmortem_exit(vcpu, end);
	postmortem_instruction(vcpu, CORE_REG(PC), ram);
	postmortem_registers(vcpu);
}
