// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/arch/x86_64/saved.h"

static const uint32_t chips[] = {KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE, KVM_IRQCHIP_IOAPIC};
#define CHIPS (sizeof(chips) / sizeof(chips[0]))

static int failed(const char *what, const char *verb, struct why *why)
{
	int error = errno;
	return why_set(why, -error, "KVM cannot %s the %s: %s", verb, what, strerror(error));
}

int saved_chips_save(const struct vm *vm, struct record *record, struct why *why)
{
	struct kvm_clock_data clock = {0};
	struct kvm_pit_state2 pit = {0};

	for (size_t i = 0; i < CHIPS; i++) {
		struct kvm_irqchip chip = {.chip_id = chips[i]};
		if (ioctl(vm->fd, KVM_GET_IRQCHIP, &chip) < 0)
			return failed("interrupt controllers", "save", why);
		record_struct(record, &chip, sizeof(chip));
	}
	if (ioctl(vm->fd, KVM_GET_PIT2, &pit) < 0)
		return failed("timer", "save", why);
	record_struct(record, &pit, sizeof(pit));
	if (ioctl(vm->fd, KVM_GET_CLOCK, &clock) < 0)
		return failed("clock", "save", why);
	record_u64(record, clock.clock);
	return 0;
}

/*
 * After the vCPUs: the I/O APIC hands its pending interrupts to their local APICs at once. The clock last, since it
 * runs from then on.
 */
int saved_chips_restore(const struct vm *vm, struct record_in *in, struct why *why)
{
	struct kvm_clock_data clock = {0};
	struct kvm_pit_state2 pit;

	for (size_t i = 0; i < CHIPS; i++) {
		struct kvm_irqchip chip;
		record_take_struct(in, &chip, sizeof(chip));
		if (in->bad || chip.chip_id != chips[i])
			return why_set(why, -EINVAL,
				       "the state of its interrupt controllers is malformed");
		if (ioctl(vm->fd, KVM_SET_IRQCHIP, &chip) < 0)
			return failed("interrupt controllers", "restore", why);
	}
	record_take_struct(in, &pit, sizeof(pit));
	clock.clock = record_take_u64(in);
	if (in->bad)
		return why_set(why, -EINVAL, "the state of its timers is malformed");
	if (ioctl(vm->fd, KVM_SET_PIT2, &pit) < 0)
		return failed("timer", "restore", why);
	if (ioctl(vm->fd, KVM_SET_CLOCK, &clock) < 0)
		return failed("clock", "restore", why);
	return 0;
}
