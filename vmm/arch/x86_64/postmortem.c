// SPDX-License-Identifier: Apache-2.0
/* The user's report of a vCPU's failure: the reason, the instruction, the registers, and advice. */
#include <cpuid.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/arch/arch.h"
#include "vmm/arch/postmortem.h"
#include "vmm/lib/log.h"

#define INSTRUCTION_MAX 15
/* AMD64 Architecture Programmer's Manual, CPUID; Intel SDM, CPUID. */
#define bit_VMX (1U << 5)
#define bit_SVM (1U << 2)
#define LINE	256

/* KVM's copy of the instruction follows the flags and its size (kvm_run.emulation_failure). */
static size_t emulated_instruction(const struct kvm_run *run, uint8_t *bytes)
{
	if (run->internal.suberror != KVM_INTERNAL_ERROR_EMULATION || run->internal.ndata < 3 ||
	    !(run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES))
		return 0;
	size_t size = run->emulation_failure.insn_size;
	if (size > INSTRUCTION_MAX)
		size = INSTRUCTION_MAX;
	memcpy(bytes, run->emulation_failure.insn_bytes, size);
	return size;
}

/* Reads the bytes at the instruction pointer, up to the end of their page of RAM. */
static size_t instruction_at(const struct vcpu *vcpu, const struct ram *ram, uint64_t address,
			     uint8_t *bytes)
{
	struct kvm_translation translation = {.linear_address = address};
	if (ioctl(vcpu->fd, KVM_TRANSLATE, &translation) < 0 || !translation.valid)
		return 0;
	size_t size = 4096 - (translation.physical_address & 4095);
	if (size > INSTRUCTION_MAX)
		size = INSTRUCTION_MAX;
	return ram_read(ram, translation.physical_address, bytes, size) == 0 ? size : 0;
}

static void report_instruction(const struct vcpu *vcpu, enum vcpu_end end, const struct ram *ram,
			       uint64_t address)
{
	uint8_t bytes[INSTRUCTION_MAX];
	size_t size = end == VCPU_INTERNAL_ERROR ? emulated_instruction(vcpu->run, bytes) : 0;
	if (size == 0)
		size = instruction_at(vcpu, ram, address, bytes);

	char line[LINE];
	size_t used = 0;
	for (size_t i = 0; i < size; i++)
		used += snprintf(line + used, sizeof(line) - used, " %02x", bytes[i]);
	log_error("instruction at %#llx:%s", (unsigned long long)address,
		  size ? line : " (not readable)");
}

static void print_registers(FILE *out, const struct kvm_regs *r, const struct kvm_sregs *s)
{
#define U(value) ((unsigned long long)(value))
	fprintf(out, "rip %016llx rsp %016llx rflags %08llx\n", U(r->rip), U(r->rsp), U(r->rflags));
	fprintf(out, "rax %016llx rbx %016llx rcx %016llx rdx %016llx\n", U(r->rax), U(r->rbx),
		U(r->rcx), U(r->rdx));
	fprintf(out, "rsi %016llx rdi %016llx rbp %016llx r8  %016llx\n", U(r->rsi), U(r->rdi),
		U(r->rbp), U(r->r8));
	fprintf(out, "r9  %016llx r10 %016llx r11 %016llx r12 %016llx\n", U(r->r9), U(r->r10),
		U(r->r11), U(r->r12));
	fprintf(out, "r13 %016llx r14 %016llx r15 %016llx\n", U(r->r13), U(r->r14), U(r->r15));
	fprintf(out, "cr0 %08llx cr2 %016llx cr3 %016llx cr4 %08llx efer %04llx\n", U(s->cr0),
		U(s->cr2), U(s->cr3), U(s->cr4), U(s->efer));
	fprintf(out, "cs %04x ss %04x ds %04x gdt %016llx idt %016llx\n", s->cs.selector,
		s->ss.selector, s->ds.selector, U(s->gdt.base), U(s->idt.base));
#undef U
}

void arch_vcpu_registers(const struct vcpu *vcpu, FILE *out)
{
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	if (ioctl(vcpu->fd, KVM_GET_REGS, &regs) == 0 &&
	    ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) == 0)
		print_registers(out, &regs, &sregs);
}

/* On a processor without virtualisation, KVM must interpret the code of guest kernels. */
static bool host_virtualizes(void)
{
	unsigned int a, b, c, d;
	if (__get_cpuid(1, &a, &b, &c, &d) && c & bit_VMX)
		return true;
	return __get_cpuid(0x80000001, &a, &b, &c, &d) && c & bit_SVM;
}

static void report_reason(const struct vcpu *vcpu, enum vcpu_end end)
{
	if (end == VCPU_TRIPLE_FAULT)
		log_error(
			"vCPU %u shut down (a triple fault: it met an exception that it could not "
			"deliver)",
			vcpu->index);
	else
		postmortem_exit(vcpu, end);
}

void arch_vcpu_postmortem(const struct vcpu *vcpu, enum vcpu_end end, const struct ram *ram)
{
	report_reason(vcpu, end);

	struct kvm_regs regs;
	struct kvm_sregs sregs;
	if (ioctl(vcpu->fd, KVM_GET_REGS, &regs) == 0 &&
	    ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) == 0)
		report_instruction(vcpu, end, ram, sregs.cs.base + regs.rip);
	postmortem_registers(vcpu);
	if (end == VCPU_INTERNAL_ERROR && !host_virtualizes())
		log_error(
			"this host's processor has no virtualisation (neither svm nor vmx in "
			"/proc/cpuinfo): its KVM emulates the code of a guest's kernel, and not "
			"every instruction; use a host with hardware KVM, or the emulated host of this "
			"source tree (tests/host/run)");
}
