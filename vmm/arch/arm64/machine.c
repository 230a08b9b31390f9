// SPDX-License-Identifier: Apache-2.0
/* An arm64 machine as a whole: its address size, its interrupt controller, its kernel. */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "devices/rtc/pl031.h"
#include "vmm/arch/arm64/state.h"
#include "vmm/arch/fdt/boot.h"
#include "vmm/arch/fdt/layout.h"
#include "vmm/arch/fdt/platform.h"
#include "vmm/arch/platform.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"

/* KVM's default, which a KVM without KVM_CAP_ARM_VM_IPA_SIZE always uses. */
#define IPA_BITS_DEFAULT 40

#define GICV2_CPUS_MAX 8

const struct arch_map arch_map = {
	.name = "aarch64",
	.virtio_base = FDT_VIRTIO,
	.virtio_gsi = FDT_GSI_VIRTIO,
	.virtio_gsi_end = FDT_GSI_END,
	.serial_base = FDT_SERIAL,
	.serial_is_port = false,
	.serial_gsi = FDT_GSI_SERIAL,
	.power_gsi = FDT_GSI_POWER,
	.cpus_max = ARM64_CPUS_MAX,
};

const struct vm_needs arch_needs = {
	.no_kvm = "use a kernel with CONFIG_KVM, started at EL2",
	.need = {{KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP"},
		 {KVM_CAP_IRQFD, "KVM_CAP_IRQFD"},
		 {KVM_CAP_ARM_PSCI_0_2, "KVM_CAP_ARM_PSCI_0_2"},
		 {KVM_CAP_ONE_REG, "KVM_CAP_ONE_REG"}},
};

unsigned int arch_gpa_bits(const struct vm *vm)
{
	unsigned int bits = vm_capability(vm, KVM_CAP_ARM_VM_IPA_SIZE);
	return bits ? bits : IPA_BITS_DEFAULT;
}

/* Use as few bits as possible: fewer levels of page tables. Too much memory is refused later. */
unsigned long arch_vm_type(const struct vm *vm, uint64_t memory)
{
	unsigned int limit = vm_capability(vm, KVM_CAP_ARM_VM_IPA_SIZE);
	unsigned int bits = fdt_gpa_bits_needed(memory);
	if (limit == 0)
		return 0;
	return KVM_VM_TYPE_ARM_IPA_SIZE(bits < limit ? bits : limit);
}

static void clock_read(void *ctx, uint64_t offset, void *data, unsigned int len)
{
	(void)ctx;
	bus_put(data, len, pl031_read(offset, (uint32_t)(clock_realtime_ns() / NS_PER_S)));
}

static void clock_write(void *ctx, uint64_t offset, const void *data, unsigned int len)
{
	(void)ctx, (void)offset, (void)data, (void)len;
}

int arch_platform_init(struct arch_platform *platform, struct bus *pio, struct bus *mmio)
{
	(void)pio;
	int error = platform_state_new(platform, sizeof(*platform->state));
	if (error)
		return error;
	platform->state->gic = -1;
	platform->state->cpus = platform->cpus;
	platform->state->pmu = platform->pmu;
	const struct bus_range clock = {FDT_CLOCK, PL031_SIZE, platform, clock_read, clock_write};
	error = bus_add(mmio, &clock);
	return error ? error : platform_pvpanic(platform, mmio, FDT_PVPANIC, FDT_PVPANIC_SIZE);
}

void arch_platform_release(struct arch_platform *platform)
{
	if (!platform->state)
		return;
	if (platform->state->gic >= 0)
		close(platform->state->gic);
	free(platform->state);
	platform->state = NULL;
}

/* --- the interrupt controller ----------------------------------------------------------------- */

static int gic_create(const struct vm *vm, uint32_t type)
{
	struct kvm_create_device device = {.type = type};
	return ioctl(vm->fd, KVM_CREATE_DEVICE, &device) < 0 ? -errno : (int)device.fd;
}

static int gic_set(int gic, uint32_t group, uint64_t attribute, const void *value, const char *what)
{
	return vm_irqchip_attr(gic, KVM_SET_DEVICE_ATTR, group, attribute, value, what);
}

static int gic_place(const struct arch_state *state)
{
	const uint64_t dist = ARM64_GICD, redist = ARM64_GICR, cpu = ARM64_GICC;
	if (state->gic_version == 3) {
		int error = gic_set(state->gic, KVM_DEV_ARM_VGIC_GRP_ADDR,
				    KVM_VGIC_V3_ADDR_TYPE_DIST, &dist, "distributor");
		return error ? error
			     : gic_set(state->gic, KVM_DEV_ARM_VGIC_GRP_ADDR,
				       KVM_VGIC_V3_ADDR_TYPE_REDIST, &redist, "redistributors");
	}
	int error = gic_set(state->gic, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V2_ADDR_TYPE_DIST,
			    &dist, "distributor");
	return error ? error
		     : gic_set(state->gic, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V2_ADDR_TYPE_CPU,
			       &cpu, "interface");
}

int arch_irqchip_init(struct arch_platform *platform)
{
	struct arch_state *state = platform->state;

	const char *kind = platform->irqchip;
	int version = kind ? kind[strlen(kind) - 1] - '0' : 0; /* config takes gicv2 and gicv3 */
	if (version != 2) {
		state->gic_version = 3;
		state->gic = gic_create(platform->vm, KVM_DEV_TYPE_ARM_VGIC_V3);
	}
	if (version == 2 || (version == 0 && state->gic == -ENODEV)) {
		state->gic_version = 2;
		state->gic = gic_create(platform->vm, KVM_DEV_TYPE_ARM_VGIC_V2);
	}
	if (state->gic < 0 && kind) {
		log_error(
			"KVM cannot create a %s on this host: %s; leave --irqchip out to use the one that it has",
			kind, strerror(-state->gic));
		return state->gic;
	}
	if (state->gic < 0) {
		log_error("KVM can create neither a GICv3 nor a GICv2 as interrupt controller: %s",
			  strerror(-state->gic));
		return state->gic;
	}
	if (state->gic_version == 2 && state->cpus > GICV2_CPUS_MAX) {
		log_error("%u CPUs are too many: this host's interrupt controller (GICv2) "
			  "allows %d",
			  state->cpus, GICV2_CPUS_MAX);
		return -EINVAL;
	}
	return gic_place(state);
}

/* Call it after the interrupt controller exists: the counters' interrupt is a private one (PPI). */
static int pmu_start(const struct arch_state *state)
{
	const int irq = ARM64_PPI + ARM64_PPI_PMU;
	for (unsigned int i = 0; i < state->cpus; i++) {
		struct kvm_device_attr attr = {.group = KVM_ARM_VCPU_PMU_V3_CTRL,
					       .attr = KVM_ARM_VCPU_PMU_V3_IRQ,
					       .addr = (uintptr_t)&irq};
		const struct kvm_device_attr init = {.group = KVM_ARM_VCPU_PMU_V3_CTRL,
						     .attr = KVM_ARM_VCPU_PMU_V3_INIT};
		if (ioctl(state->vcpu[i], KVM_SET_DEVICE_ATTR, &attr) < 0 ||
		    ioctl(state->vcpu[i], KVM_SET_DEVICE_ATTR, &init) < 0) {
			int error = errno;
			log_error("KVM cannot start vCPU %u's performance counters: %s", i,
				  strerror(error));
			return -error;
		}
	}
	return 0;
}

int arch_irqchip_start(struct arch_platform *platform)
{
	const uint32_t interrupts = ARM64_SPI + FDT_GSI_END;
	int gic = platform->state->gic;
	int error = gic_set(gic, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, &interrupts, "interrupts");
	if (!error)
		error = gic_set(gic, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, NULL,
				"start");
	return error || !platform->pmu ? error : pmu_start(platform->state);
}

void arch_irq_line(const struct arch_platform *platform, unsigned int gsi, int level)
{
	vm_irq_line(platform->vm,
		    KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT | (ARM64_SPI + gsi), level);
}

/* By default KVM routes an irqfd's number n to the n-th shared interrupt. */
int arch_irqfd(const struct arch_platform *platform, unsigned int gsi, int fd)
{
	return vm_irqfd(platform->vm, gsi, fd);
}

int arch_boot_load(const struct arch_platform *platform, const struct arch_boot *boot,
		   struct arch_entry *entry)
{
	const struct fdt_arch tree = arm64_tree(platform->state);
	return fdt_boot_load(boot, platform->cpus, FDT_ARM64, &tree, entry);
}
