// SPDX-License-Identifier: Apache-2.0
/* A riscv64 machine as a whole: its address size, its interrupt controller, its kernel. */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/arch/fdt/boot.h"
#include "vmm/arch/fdt/layout.h"
#include "vmm/arch/fdt/platform.h"
#include "vmm/arch/platform.h"
#include "vmm/arch/riscv64/state.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"

/* Sv39x4: the least that a processor with the hypervisor extension gives a guest. */
#define GPA_BITS_MIN 41

const struct arch_map arch_map = {
	.name = "riscv64",
	.virtio_base = FDT_VIRTIO,
	.virtio_gsi = FDT_GSI_VIRTIO,
	.virtio_gsi_end = FDT_GSI_END,
	.serial_base = FDT_SERIAL,
	.serial_is_port = false,
	.serial_gsi = FDT_GSI_SERIAL,
	.power_gsi = FDT_GSI_POWER,
	.cpus_max = RISCV64_CPUS_MAX,
};

const struct vm_needs arch_needs = {
	.no_kvm = "use a processor with the hypervisor extension, and a kernel with CONFIG_KVM "
		  "(modprobe kvm)",
	.need = {{KVM_CAP_ONE_REG, "KVM_CAP_ONE_REG"}},
};

unsigned long arch_vm_type(const struct vm *vm, uint64_t memory)
{
	(void)vm, (void)memory;
	return 0;
}

unsigned int arch_gpa_bits(const struct vm *vm)
{
	unsigned int bits = vm_capability(vm, KVM_CAP_VM_GPA_BITS);
	return bits ? bits : GPA_BITS_MIN;
}

/* --- ebb's own interrupt controller ----------------------------------------------------------- */

static void bus_plic_read(void *ctx, uint64_t offset, void *data, unsigned int len)
{
	plic_read(ctx, offset, data, len);
}

static void bus_plic_write(void *ctx, uint64_t offset, const void *data, unsigned int len)
{
	plic_write(ctx, offset, data, len);
}

static void plic_interrupt(void *ctx, unsigned int context, bool level)
{
	const struct arch_state *state = ctx;
	const struct kvm_interrupt interrupt = {.irq = level ? KVM_INTERRUPT_SET
							     : KVM_INTERRUPT_UNSET};
	ioctl(state->vcpu[context], KVM_INTERRUPT, &interrupt);
}

static void clock_read(void *ctx, uint64_t offset, void *data, unsigned int len)
{
	struct arch_state *state = ctx;
	bus_put(data, len, goldfish_read(&state->clock, offset, clock_realtime_ns()));
}

static void clock_write(void *ctx, uint64_t offset, const void *data, unsigned int len)
{
	(void)ctx, (void)offset, (void)data, (void)len;
}

int arch_platform_init(struct arch_platform *platform, struct bus *pio, struct bus *mmio)
{
	(void)pio;
	int error = platform_no_choices(platform);
	if (!error)
		error = platform_state_new(platform, sizeof(*platform->state));
	if (error)
		return error;
	struct arch_state *state = platform->state;
	state->aia = -1;
	state->cpus = platform->cpus;
	error = plic_init(&state->plic, platform->cpus, plic_interrupt, state);
	if (error) {
		log_error("cannot set up the interrupt controller: the host has no memory left");
		free(state);
		platform->state = NULL;
		return error;
	}
	/* The guest's device tree does not name this controller if KVM has one. */
	const struct bus_range plic = {RISCV64_PLIC, PLIC_SIZE(state->cpus), &state->plic,
				       bus_plic_read, bus_plic_write};
	const struct bus_range clock = {FDT_CLOCK, GOLDFISH_SIZE, state, clock_read, clock_write};
	error = bus_add(mmio, &plic);
	if (!error)
		error = bus_add(mmio, &clock);
	return error ? error : platform_pvpanic(platform, mmio, FDT_PVPANIC, FDT_PVPANIC_SIZE);
}

void arch_platform_release(struct arch_platform *platform)
{
	if (!platform->state)
		return;
	if (platform->state->aia >= 0)
		close(platform->state->aia);
	plic_release(&platform->state->plic);
	free(platform->state);
	platform->state = NULL;
}

int arch_irqchip_init(struct arch_platform *platform)
{
	return riscv64_aia_init(platform->state, platform->vm);
}

int arch_irqchip_start(struct arch_platform *platform)
{
	return platform->state->aia >= 0 ? riscv64_aia_start(platform->state) : 0;
}

void arch_irq_line(const struct arch_platform *platform, unsigned int gsi, int level)
{
	struct arch_state *state = platform->state;
	if (state->aia >= 0)
		vm_irq_line(platform->vm, gsi, level);
	else
		plic_line(&state->plic, gsi, level != 0);
}

/*
 * Unsupported even with KVM's own controller: its kvm_arch_set_irq_inatomic() (arch/riscv/kvm/vm.c,
 * seen in Linux 6.12) raises the line but does not lower it, so a second write makes no edge.
 */
int arch_irqfd(const struct arch_platform *platform, unsigned int gsi, int fd)
{
	(void)platform, (void)gsi, (void)fd;
	return -EOPNOTSUPP;
}

int arch_boot_load(const struct arch_platform *platform, const struct arch_boot *boot,
		   struct arch_entry *entry)
{
	const struct fdt_arch tree = riscv64_tree(platform->state);
	return fdt_boot_load(boot, platform->cpus, FDT_RISCV64, &tree, entry);
}
