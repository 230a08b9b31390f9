// SPDX-License-Identifier: Apache-2.0
/*
 * A vCPU's initial state. The boot vCPU starts as its entry requires; the others stay as KVM
 * creates them, waiting for the guest's INIT and SIPI.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/arch/arch.h"
#include "vmm/arch/x86_64/boot.h"
#include "vmm/arch/x86_64/cpuid.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/arch/x86_64/shutdown.h"
#include "vmm/lib/log.h"

#define CR0_PE 0x00000001
#define CR0_ET 0x00000010
#define CR0_NE 0x00000020
#define CR0_PG 0x80000000

#define CR4_PAE 0x20

#define EFER_LME 0x100
#define EFER_LMA 0x400

#define RFLAGS_RESERVED 0x2

#define MSR_IA32_TSC		0x10
#define MSR_IA32_MISC_ENABLE	0x1a0
#define MISC_ENABLE_FAST_STRING 0x1

/* The descriptors that both boot protocols require, numbered as in the Linux boot protocol. */
static struct kvm_segment segment(uint16_t selector, uint8_t type, bool long_mode)
{
	return (struct kvm_segment){
		.base = 0,
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.s = 1,
		.l = long_mode,
		.db = !long_mode,
		.g = 1,
	};
}

static int set_segments(const struct vcpu *vcpu, const struct arch_entry *entry)
{
	struct kvm_sregs sregs = {0};
	int error = vcpu_ioctl(vcpu, KVM_GET_SREGS, &sregs, "system registers");
	if (error)
		return error;

	bool long_mode = entry->mode == BOOT_MODE_LONG;
	sregs.cs = segment(BOOT_CS, 0xb, long_mode); /* execute, read, accessed */
	sregs.ds = segment(BOOT_DS, 0x3, false);     /* read, write, accessed */
	sregs.es = sregs.fs = sregs.gs = sregs.ss = sregs.ds;
	sregs.tr = segment(BOOT_TSS, 0xb, false); /* busy 32- or 64-bit TSS */
	sregs.tr.s = sregs.tr.db = sregs.tr.g = 0;
	sregs.tr.limit = 0x67;
	sregs.gdt = (struct kvm_dtable){.base = LAYOUT_GDT, .limit = BOOT_GDT_SIZE - 1};
	sregs.idt = (struct kvm_dtable){.base = 0, .limit = 0};
	sregs.cr0 = CR0_PE | CR0_ET | CR0_NE;
	if (long_mode) {
		sregs.cr3 = LAYOUT_PAGE_TABLES;
		sregs.cr4 = CR4_PAE;
		sregs.cr0 |= CR0_PG;
		sregs.efer = EFER_LME | EFER_LMA;
	}
	return vcpu_ioctl(vcpu, KVM_SET_SREGS, &sregs, "system registers");
}

static int set_registers(const struct vcpu *vcpu, const struct arch_entry *entry)
{
	struct kvm_regs regs = {
		.rip = entry->pc,
		.rflags = RFLAGS_RESERVED,
	};
	/* PVH passes its start info in ebx, Linux's 64-bit protocol its zero page in rsi. */
	if (entry->mode == BOOT_MODE_PVH)
		regs.rbx = entry->argument;
	else
		regs.rsi = entry->argument;
	return vcpu_ioctl(vcpu, KVM_SET_REGS, &regs, "registers");
}

struct one_msr {
	struct kvm_msrs head;
	struct kvm_msr_entry entry[1];
};

static int set_msrs(const struct vcpu *vcpu)
{
	struct one_msr msrs = {
		.head.nmsrs = 1,
		.entry = {{.index = MSR_IA32_MISC_ENABLE, .data = MISC_ENABLE_FAST_STRING}},
	};
	/* Returns the number that KVM set; 0, from a KVM without this MSR, does no harm. */
	return ioctl(vcpu->fd, KVM_SET_MSRS, &msrs) < 0 ? -errno : 0;
}

/*
 * KVM gives a vCPU the TSC's frequency of the moment when KVM was loaded. Where the host's kernel has found a higher one
 * since, and the processor cannot slow a guest's TSC down, KVM gives up halfway: it takes the guest's TSC to be 0 for ever,
 * and each of the guest's timers comes as late as the host is old (arch/x86/kvm/x86.c, set_tsc_khz()). So ask for the
 * frequency that the kernel knows now, 0, but only then: where the frequency changes, KVM's choice is the better one.
 */
static void mend_tsc(const struct vcpu *vcpu)
{
	struct one_msr msrs = {.head.nmsrs = 1, .entry = {{.index = MSR_IA32_TSC}}};

	if (ioctl(vcpu->fd, KVM_GET_MSRS, &msrs) == 1 && msrs.entry[0].data == 0)
		ioctl(vcpu->fd, KVM_SET_TSC_KHZ, 0);
}

int arch_vcpu_init(struct arch_platform *platform, const struct vcpu *vcpu)
{
	const struct vm *vm = platform->vm;
	struct cpuid_table table;
	mend_tsc(vcpu);
	int error = cpuid_supported(vm, &table);
	if (error)
		return error;
	cpuid_fit(&table, vcpu->index, platform->cpus,
		  vm_capability(vm, KVM_CAP_TSC_DEADLINE_TIMER) != 0);

	error = vcpu_ioctl(vcpu, KVM_SET_CPUID2, &table.head, "CPUID");
	return error ? error : set_msrs(vcpu);
}

int arch_vcpu_enter(const struct vcpu *vcpu, const struct arch_entry *entry)
{
	int error = set_segments(vcpu, entry);
	return error ? error : set_registers(vcpu, entry);
}

enum vcpu_end arch_vcpu_exit(const struct vcpu *vcpu, const struct vcpu_host *host)
{
	(void)host;
	return vcpu->run->exit_reason == KVM_EXIT_SHUTDOWN ? shutdown_end(vcpu) : VCPU_UNKNOWN_EXIT;
}

int arch_vcpu_nmi(const struct vcpu *vcpu)
{
	return ioctl(vcpu->fd, KVM_NMI, 0) < 0 ? -errno : 0;
}
