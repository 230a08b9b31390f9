// SPDX-License-Identifier: Apache-2.0
/*
 * A vCPU in a snapshot. The order, of both saving and restoring:
 *
 * - The state of the processor as a whole first: reading it makes KVM act on an INIT or SIPI that waits, which
 *   changes the others.
 * - The local APIC after the system registers, which have its base, and before the MSRs: the TSC deadline is only
 *   taken while its timer is in that mode.
 * - The deadline after the TSC.
 * - Events last: setting the registers drops a pending exception.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/arch/arch.h"
#include "vmm/arch/x86_64/cpuid.h"
#include "vmm/arch/x86_64/saved.h"
#include "vmm/arch/x86_64/state.h"

#define MSRS_MAX     1024
#define XSAVE_LEGACY sizeof(struct kvm_xsave)
#define XSAVE_MAX    (16 * 1024)

#define MSR_TSC		 0x10
#define MSR_TSC_DEADLINE 0x6e0
/*
 * KVM takes a TSC that differs by less than a second from one that was set before for an attempt to set both to the same,
 * and keeps the one before (arch/x86/kvm/x86.c, kvm_synchronize_tsc()). That is meant for the other vCPUs; but vCPU 0's
 * was set to 0 when it was made, Linux 6.1 does not tell the two apart, and the clock of a guest that is younger
 * than a second would go back. So it is set to one far away first.
 */
#define TSC_FAR (1ULL << 62)

#define EFER_SVME (1ULL << 12)
#define CR4_VMXE  (1ULL << 13)

#define LAPIC_LVT_TIMER	   0x320
#define LVT_TIMER_MODE	   (3U << 17)
#define LVT_TIMER_DEADLINE (2U << 17)

/* Parts that are one struct of KVM's each. */
struct part {
	unsigned long get, set;
	size_t size;
	const char *what;
};
static const struct part first[] = {
	{KVM_GET_MP_STATE, KVM_SET_MP_STATE, sizeof(struct kvm_mp_state), "run state"},
	{KVM_GET_REGS, KVM_SET_REGS, sizeof(struct kvm_regs), "registers"},
	{KVM_GET_SREGS, KVM_SET_SREGS, sizeof(struct kvm_sregs), "system registers"},
};
static const struct part second[] = {
	{KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, sizeof(struct kvm_debugregs), "debug registers"},
	{KVM_GET_LAPIC, KVM_SET_LAPIC, sizeof(struct kvm_lapic_state), "local APIC"},
};
static const struct part events = {KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS,
				   sizeof(struct kvm_vcpu_events), "events"};
/* Room for each of them. */
union any_part {
	struct kvm_mp_state mp;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_debugregs debug;
	struct kvm_lapic_state lapic;
	struct kvm_vcpu_events events;
	struct kvm_xcrs xcrs;
};

/* --- what is read while /dev/kvm is open ------------------------------------------------------- */

static void read_msr_list(struct saved_cpu *saved, const struct vm *vm)
{
	struct kvm_msr_list *list = calloc(1, sizeof(*list) + MSRS_MAX * sizeof(uint32_t));

	if (!list)
		return;
	list->nmsrs = MSRS_MAX;
	if (ioctl(vm->kvm, KVM_GET_MSR_INDEX_LIST, list) == 0)
		saved->msr = calloc(list->nmsrs + 1, sizeof(uint32_t));
	if (saved->msr) {
		memcpy(saved->msr, list->indices, list->nmsrs * sizeof(uint32_t));
		saved->msrs = list->nmsrs;
	}
	free(list);
}

/* The deadline goes last. */
static void put_deadline_last(struct saved_cpu *saved)
{
	for (unsigned int i = 0; i + 1 < saved->msrs; i++) {
		if (saved->msr[i] != MSR_TSC_DEADLINE)
			continue;
		saved->msr[i] = saved->msr[saved->msrs - 1];
		saved->msr[saved->msrs - 1] = MSR_TSC_DEADLINE;
	}
}

void saved_cpu_init(struct saved_cpu *saved, const struct vm *vm)
{
	int size = vm_capability(vm, KVM_CAP_XSAVE2);

	*saved = (struct saved_cpu){.xsave = XSAVE_LEGACY};
	if (size > (int)XSAVE_LEGACY)
		saved->xsave = size <= XSAVE_MAX ? (size_t)size : 0;
	read_msr_list(saved, vm);
	put_deadline_last(saved);
}

void saved_cpu_release(struct saved_cpu *saved)
{
	free(saved->msr);
	*saved = (struct saved_cpu){0};
}

int arch_can_save(struct why *why)
{
	(void)why;
	return 0;
}

/* --- one part after the other ------------------------------------------------------------------ */

static int failed(const struct vcpu *vcpu, const char *verb, const char *what, struct why *why)
{
	int error = errno;
	return why_set(why, -error, "KVM cannot %s the %s of vCPU %u: %s", verb, what, vcpu->index,
		       strerror(error));
}

static int malformed(const struct vcpu *vcpu, const char *what, struct why *why)
{
	return why_set(why, -EINVAL, "the saved %s of vCPU %u does not fit this host's KVM", what,
		       vcpu->index);
}

static int save_part(const struct vcpu *vcpu, const struct part *part, struct record *record,
		     struct why *why)
{
	union any_part any;

	memset(&any, 0, sizeof(any));
	if (ioctl(vcpu->fd, part->get, &any) < 0)
		return failed(vcpu, "save", part->what, why);
	record_struct(record, &any, part->size);
	return 0;
}

static int restore_part(const struct vcpu *vcpu, const struct part *part, struct record_in *in,
			struct why *why)
{
	union any_part any;

	memset(&any, 0, sizeof(any));
	record_take_struct(in, &any, part->size);
	if (in->bad)
		return malformed(vcpu, part->what, why);
	if (ioctl(vcpu->fd, part->set, &any) < 0)
		return failed(vcpu, "restore", part->what, why);
	return 0;
}

static int too_large(const struct vcpu *vcpu, struct why *why)
{
	return why_set(why, -EOPNOTSUPP,
		       "the extended state of vCPU %u is larger than ebb knows: it cannot be saved "
		       "on this host",
		       vcpu->index);
}

static int save_xsave(const struct vcpu *vcpu, size_t size, struct record *record, struct why *why)
{
	uint8_t *area = calloc(1, size);
	int error = size ? 0 : too_large(vcpu, why);

	if (error)
		goto out;
	if (!area)
		return why_set(why, -ENOMEM, "the host has no memory left");
	if (ioctl(vcpu->fd, size > XSAVE_LEGACY ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, area) < 0)
		error = failed(vcpu, "save", "extended state", why);
	record_struct(record, area, size);
out:
	free(area);
	return error;
}

static int restore_xsave(const struct vcpu *vcpu, size_t size, struct record_in *in,
			 struct why *why)
{
	uint8_t *area = calloc(1, size);
	int error = size ? 0 : too_large(vcpu, why);

	if (error)
		goto out;
	if (!area)
		return why_set(why, -ENOMEM, "the host has no memory left");
	record_take_struct(in, area, size);
	/* KVM reads as much as it writes. */
	if (in->bad)
		error = malformed(vcpu, "extended registers", why);
	else if (ioctl(vcpu->fd, KVM_SET_XSAVE, area) < 0)
		error = failed(vcpu, "restore", "extended state", why);
out:
	free(area);
	return error;
}

/* A processor without XSAVE has none, and KVM refuses to set none. */
static int save_xcrs(const struct vcpu *vcpu, struct record *record, struct why *why)
{
	struct kvm_xcrs xcrs = {0};

	if (ioctl(vcpu->fd, KVM_GET_XCRS, &xcrs) < 0)
		return failed(vcpu, "save", "control of the extended state", why);
	record_struct(record, &xcrs, sizeof(xcrs));
	return 0;
}

static int restore_xcrs(const struct vcpu *vcpu, struct record_in *in, struct why *why)
{
	struct kvm_xcrs xcrs;

	record_take_struct(in, &xcrs, sizeof(xcrs));
	if (in->bad)
		return malformed(vcpu, "extended control registers", why);
	if (xcrs.nr_xcrs && ioctl(vcpu->fd, KVM_SET_XCRS, &xcrs) < 0)
		return failed(vcpu, "restore", "control of the extended state", why);
	return 0;
}

/* --- model-specific registers ------------------------------------------------------------------ */

struct one_msr {
	struct kvm_msrs head;
	struct kvm_msr_entry entry;
};

/* Returns whether KVM has the register. One by one: KVM stops at the first that it does not know. */
static bool get_msr(const struct vcpu *vcpu, uint32_t index, uint64_t *value)
{
	struct one_msr msr = {.head.nmsrs = 1, .entry.index = index};

	bool has = ioctl(vcpu->fd, KVM_GET_MSRS, &msr) == 1;
	*value = msr.entry.data;
	return has;
}

static bool set_msr(const struct vcpu *vcpu, uint32_t index, uint64_t value)
{
	struct one_msr msr = {.head.nmsrs = 1, .entry = {.index = index, .data = value}};
	return ioctl(vcpu->fd, KVM_SET_MSRS, &msr) == 1;
}

static bool timer_has_deadline(const struct vcpu *vcpu)
{
	struct kvm_lapic_state lapic;
	uint32_t lvt;

	if (ioctl(vcpu->fd, KVM_GET_LAPIC, &lapic) < 0)
		return false;
	memcpy(&lvt, lapic.regs + LAPIC_LVT_TIMER, sizeof(lvt));
	return (lvt & LVT_TIMER_MODE) == LVT_TIMER_DEADLINE;
}

/*
 * A deadline that has passed while the vCPU stood still reads as 0, but its interrupt is only given to the guest
 * when it runs again. A restored guest would wait for it in vain: it gets a deadline that is over.
 */
static uint64_t fix_deadline(const struct vcpu *vcpu, uint64_t deadline)
{
	uint64_t now = 0;

	if (deadline == 0 && timer_has_deadline(vcpu))
		get_msr(vcpu, MSR_TSC, &now);
	return deadline ? deadline : now;
}

static int save_msrs(const struct saved_cpu *saved, const struct vcpu *vcpu, struct record *record,
		     struct why *why)
{
	if (saved->msrs == 0)
		return why_set(why, -EOPNOTSUPP,
			       "KVM did not tell which registers a processor has");
	/* Their number follows, once it is known. */
	size_t at = record->len;
	uint32_t count = 0;
	record_u32(record, 0);
	for (unsigned int i = 0; i < saved->msrs; i++) {
		uint32_t index = saved->msr[i];
		uint64_t value;
		if (!get_msr(vcpu, index, &value))
			continue;
		if (index == MSR_TSC_DEADLINE)
			value = fix_deadline(vcpu, value);
		record_u32(record, index);
		record_u64(record, value);
		count++;
	}
	if (!record->full) {
		struct record number = {record->data + at, sizeof(count), 0, false};
		record_u32(&number, count);
	}
	return 0;
}

static bool is_listed(const struct saved_cpu *saved, uint32_t index)
{
	for (unsigned int i = 0; i < saved->msrs; i++)
		if (saved->msr[i] == index)
			return true;
	return false;
}

/* Only those that saving would read: a file must not get at others, which are the host's to choose. */
static int restore_msrs(const struct saved_cpu *saved, const struct vcpu *vcpu,
			struct record_in *in, struct why *why)
{
	uint32_t count = record_take_u32(in);

	if (count > saved->msrs)
		return malformed(vcpu, "model-specific registers", why);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t index = record_take_u32(in);
		uint64_t value = record_take_u64(in), now;
		if (in->bad || !is_listed(saved, index))
			return malformed(vcpu, "model-specific registers", why);
		if (index == MSR_TSC && vcpu->index == 0)
			set_msr(vcpu, index, value + TSC_FAR);
		/* Some can only be read, and are right from the start. */
		if (!set_msr(vcpu, index, value) && !(get_msr(vcpu, index, &now) && now == value))
			return why_set(why, -EINVAL,
				       "KVM does not let register %#x of vCPU %u have its value: "
				       "restore it on a host like the one that it was saved on",
				       index, vcpu->index);
	}
	return 0;
}

/* --- which processor it is --------------------------------------------------------------------- */

void saved_cpuid_moving(uint32_t function, uint32_t index, uint32_t ignored[4])
{
	memset(ignored, 0, 4 * sizeof(ignored[0]));
	if (function == 1) {
		ignored[2] = 1U << 27 | 1U << 3; /* OSXSAVE follows CR4, MWAIT an MSR */
		ignored[3] = 1U << 9;		 /* APIC follows its base */
	} else if (function == 7 && index == 0) {
		ignored[2] = 1U << 4; /* OSPKE follows CR4 */
	} else if (function == 0xd && index <= 1) {
		ignored[1] = UINT32_MAX; /* the size of what is enabled now */
	}
}

static int read_cpuid(const struct vcpu *vcpu, struct cpuid_table *table, struct why *why)
{
	memset(table, 0, sizeof(*table));
	table->head.nent = CPUID_ENTRIES_MAX;
	if (ioctl(vcpu->fd, KVM_GET_CPUID2, &table->head) < 0)
		return failed(vcpu, "read", "CPUID", why);
	return 0;
}

static int save_cpuid(const struct vcpu *vcpu, struct record *record, struct why *why)
{
	struct cpuid_table table;

	int error = read_cpuid(vcpu, &table, why);
	if (error)
		return error;
	record_u32(record, table.head.nent);
	for (unsigned int i = 0; i < table.head.nent; i++) {
		const struct kvm_cpuid_entry2 *entry = &table.entry[i];
		record_u32(record, entry->function);
		record_u32(record, entry->index);
		record_u32(record, entry->eax);
		record_u32(record, entry->ebx);
		record_u32(record, entry->ecx);
		record_u32(record, entry->edx);
	}
	return 0;
}

static bool same_entry(const struct kvm_cpuid_entry2 *entry, struct record_in *in)
{
	const uint32_t here[4] = {entry->eax, entry->ebx, entry->ecx, entry->edx};
	uint32_t ignored[4];

	bool same = record_take_u32(in) == entry->function;
	same = record_take_u32(in) == entry->index && same;
	saved_cpuid_moving(entry->function, entry->index, ignored);
	for (unsigned int i = 0; i < 4; i++)
		same = ((record_take_u32(in) ^ here[i]) & ~ignored[i]) == 0 && same;
	return same;
}

/* The guest has looked, and uses what it found. A snapshot's CPUID is compared, never given to a guest. */
static int check_cpuid(const struct vcpu *vcpu, struct record_in *in, struct why *why)
{
	struct cpuid_table table;

	int error = read_cpuid(vcpu, &table, why);
	if (error)
		return error;
	bool same = record_take_u32(in) == table.head.nent;
	for (unsigned int i = 0; i < table.head.nent && same; i++)
		same = same_entry(&table.entry[i], in);
	if (in->bad || !same)
		return why_set(
			why, -EINVAL,
			"it was saved on a host with another processor, kernel or options of "
			"KVM: its guest uses features that differ here");
	return 0;
}

static int restore_frequency(const struct vcpu *vcpu, struct record_in *in, struct why *why)
{
	long khz = record_take_u32(in);
	long here = ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0);

	if (khz == here || khz == 0 || here <= 0)
		return 0;
	if (ioctl(vcpu->fd, KVM_SET_TSC_KHZ, khz) < 0)
		return why_set(why, -EINVAL,
			       "its processor's clock ran at %ld kHz, this host's runs at %ld, and "
			       "KVM cannot adapt it here",
			       khz, here);
	return 0;
}

/* --- all of it --------------------------------------------------------------------------------- */

static int check_nesting(const struct vcpu *vcpu, struct why *why)
{
	struct kvm_sregs sregs;

	if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
		return failed(vcpu, "save", "system registers", why);
	if (sregs.efer & EFER_SVME || sregs.cr4 & CR4_VMXE)
		return why_set(
			why, -EOPNOTSUPP,
			"the guest runs guests of its own, which ebb cannot save yet: unload "
			"KVM in it first");
	return 0;
}

int arch_vcpu_save(const struct arch_platform *platform, const struct vcpu *vcpu,
		   struct record *record, struct why *why)
{
	const struct saved_cpu *saved = &platform->state->saved;
	int khz = ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0);

	int error = check_nesting(vcpu, why);
	if (!error)
		error = save_cpuid(vcpu, record, why);
	record_u32(record, khz > 0 ? (uint32_t)khz : 0);
	for (size_t i = 0; i < sizeof(first) / sizeof(first[0]) && !error; i++)
		error = save_part(vcpu, &first[i], record, why);
	if (!error)
		error = save_xsave(vcpu, saved->xsave, record, why);
	if (!error)
		error = save_xcrs(vcpu, record, why);
	for (size_t i = 0; i < sizeof(second) / sizeof(second[0]) && !error; i++)
		error = save_part(vcpu, &second[i], record, why);
	if (!error)
		error = save_msrs(saved, vcpu, record, why);
	return error ? error : save_part(vcpu, &events, record, why);
}

int arch_vcpu_restore(struct arch_platform *platform, const struct vcpu *vcpu, struct record_in *in,
		      struct why *why)
{
	const struct saved_cpu *saved = &platform->state->saved;

	int error = check_cpuid(vcpu, in, why);
	if (!error)
		error = restore_frequency(vcpu, in, why);
	for (size_t i = 0; i < sizeof(first) / sizeof(first[0]) && !error; i++)
		error = restore_part(vcpu, &first[i], in, why);
	if (!error)
		error = restore_xsave(vcpu, saved->xsave, in, why);
	if (!error)
		error = restore_xcrs(vcpu, in, why);
	for (size_t i = 0; i < sizeof(second) / sizeof(second[0]) && !error; i++)
		error = restore_part(vcpu, &second[i], in, why);
	if (!error)
		error = restore_msrs(saved, vcpu, in, why);
	if (!error)
		error = restore_part(vcpu, &events, in, why);
	if (!error && !record_complete(in))
		error = why_set(why, -EINVAL, "the state of vCPU %u has more than this ebb reads",
				vcpu->index);
	return error;
}
