// SPDX-License-Identifier: Apache-2.0
#include "vmm/arch/x86_64/shutdown.h"

#include <sys/ioctl.h>

bool shutdown_after_interrupts(const struct kvm_pic_state pic[2],
			       const struct kvm_ioapic_state *ioapic)
{
	/* Ignore their masks: boot code masks all lines before it has handlers. */
	if (pic[0].irq_base || pic[1].irq_base)
		return true;
	for (unsigned int i = 0; i < KVM_IOAPIC_NUM_PINS; i++)
		if (!ioapic->redirtbl[i].fields.mask)
			return true;
	return false;
}

enum vcpu_end shutdown_end(const struct vcpu *vcpu)
{
	struct kvm_irqchip chip[] = {
		{.chip_id = KVM_IRQCHIP_PIC_MASTER},
		{.chip_id = KVM_IRQCHIP_PIC_SLAVE},
		{.chip_id = KVM_IRQCHIP_IOAPIC},
	};
	for (unsigned int i = 0; i < sizeof(chip) / sizeof(chip[0]); i++)
		if (ioctl(vcpu->vm->fd, KVM_GET_IRQCHIP, &chip[i]) < 0)
			return VCPU_TRIPLE_FAULT;
	const struct kvm_pic_state pic[] = {chip[0].chip.pic, chip[1].chip.pic};
	return shutdown_after_interrupts(pic, &chip[2].chip.ioapic) ? VCPU_RESET
								    : VCPU_TRIPLE_FAULT;
}
