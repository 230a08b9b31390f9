// SPDX-License-Identifier: Apache-2.0
/* The PC as a whole: its memory layout, its interrupt controllers, its timer. */
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/arch/arch.h"
#include "vmm/arch/x86_64/cpuid.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/arch/x86_64/state.h"
#include "vmm/lib/log.h"

const struct arch_map arch_map = {
	.name = "x86_64",
	.virtio_base = LAYOUT_VIRTIO,
	.virtio_gsi = GSI_VIRTIO,
	.virtio_gsi_end = GSI_END,
	.reserved_gsis = 1U << GSI_CLOCK | 1U << GSI_SCI,
	.serial_base = PORT_SERIAL,
	.serial_is_port = true,
	.serial_gsi = GSI_SERIAL,
	.power_gsi = GSI_SCI,
	/* Every kernel takes APIC ids of 8 bits, 0 … 254; 255 is the broadcast's. */
	.cpus_max = 254,
};

const struct vm_needs arch_needs = {
	.no_kvm = "load kvm_intel or kvm_amd, or switch virtualisation on in the firmware",
	.need = {{KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP"}, {KVM_CAP_IRQFD, "KVM_CAP_IRQFD"}},
};

unsigned long arch_vm_type(const struct vm *vm, uint64_t memory)
{
	(void)vm, (void)memory;
	return 0;
}

int arch_ram_layout(uint64_t size, unsigned int gpa_bits, struct gpa_range *span)
{
	if (size <= LAYOUT_HOLE) {
		span[0] = (struct gpa_range){0, size};
		return 1;
	}
	uint64_t high = size - LAYOUT_HOLE;
	uint64_t limit = gpa_bits < 64 ? 1ULL << gpa_bits : UINT64_MAX;
	if (limit <= LAYOUT_HOLE_END || high > limit - LAYOUT_HOLE_END)
		return -E2BIG;

	span[0] = (struct gpa_range){0, LAYOUT_HOLE};
	span[1] = (struct gpa_range){LAYOUT_HOLE_END, high};
	return 2;
}

static int vm_setup(const struct vm *vm, unsigned long request, unsigned long argument,
		    const char *what)
{
	if (ioctl(vm->fd, request, argument) < 0) {
		int error = errno;
		log_error("KVM cannot create %s: %s", what, strerror(error));
		return -error;
	}
	return 0;
}

int arch_irqchip_init(struct arch_platform *platform)
{
	const struct vm *vm = platform->vm;
	uint64_t identity = LAYOUT_KVM_IDENTITY;
	/* The speaker's port also has the timer's gate, which some kernels use to calibrate. */
	struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};

	int error = vm_setup(vm, KVM_SET_IDENTITY_MAP_ADDR, (unsigned long)&identity,
			     "its identity map");
	if (!error)
		error = vm_setup(vm, KVM_SET_TSS_ADDR, LAYOUT_KVM_TSS, "its TSS");
	if (!error)
		error = vm_setup(vm, KVM_CREATE_IRQCHIP, 0, "interrupt controllers");
	if (!error)
		error = vm_setup(vm, KVM_CREATE_PIT2, (unsigned long)&pit, "a timer");
	saved_cpu_init(&platform->state->saved, vm);
	return error;
}

int arch_irqchip_start(struct arch_platform *platform)
{
	(void)platform;
	return 0;
}

void arch_irq_line(const struct arch_platform *platform, unsigned int gsi, int level)
{
	vm_irq_line(platform->vm, gsi, level);
}

int arch_irqfd(const struct arch_platform *platform, unsigned int gsi, int fd)
{
	return vm_irqfd(platform->vm, gsi, fd);
}
