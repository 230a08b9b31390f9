// SPDX-License-Identifier: Apache-2.0
/* KVM's interrupt controller: an APLIC that turns lines into messages to one IMSIC per vCPU. */
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/arch/fdt/layout.h"
#include "vmm/arch/riscv64/state.h"

/* Linux 6.5; older headers lack them. */
#ifndef KVM_DEV_RISCV_AIA_GRP_CONFIG
#define KVM_DEV_TYPE_RISCV_AIA		   11
#define KVM_DEV_RISCV_AIA_GRP_CONFIG	   0
#define KVM_DEV_RISCV_AIA_CONFIG_IDS	   1
#define KVM_DEV_RISCV_AIA_CONFIG_SRCS	   2
#define KVM_DEV_RISCV_AIA_CONFIG_HART_BITS 5
#define KVM_DEV_RISCV_AIA_GRP_ADDR	   1
#define KVM_DEV_RISCV_AIA_ADDR_APLIC	   0
#define KVM_DEV_RISCV_AIA_ADDR_IMSIC(vcpu) (1 + (vcpu))
#define KVM_DEV_RISCV_AIA_GRP_CTRL	   2
#define KVM_DEV_RISCV_AIA_CTRL_INIT	   0
#endif

static int aia_config(int aia, uint64_t attribute, uint32_t value, const char *what)
{
	return vm_irqchip_attr(aia, KVM_SET_DEVICE_ATTR, KVM_DEV_RISCV_AIA_GRP_CONFIG, attribute,
			       &value, what);
}

static int aia_place(int aia, uint64_t attribute, uint64_t gpa, const char *what)
{
	return vm_irqchip_attr(aia, KVM_SET_DEVICE_ATTR, KVM_DEV_RISCV_AIA_GRP_ADDR, attribute,
			       &gpa, what);
}

static uint32_t bits_for(unsigned int cpus)
{
	uint32_t bits = 0;
	while (1U << bits < cpus)
		bits++;
	return bits;
}

int riscv64_aia_init(struct arch_state *state, const struct vm *vm)
{
	struct kvm_create_device device = {.type = KVM_DEV_TYPE_RISCV_AIA};

	state->aia = -1;
	/* Older kernels without an AIA fail here, too: their guests get a PLIC. */
	if (vm_capability(vm, KVM_CAP_IRQCHIP) == 0 ||
	    ioctl(vm->fd, KVM_CREATE_DEVICE, &device) < 0)
		return 0;
	state->aia = (int)device.fd;
	int error = vm_irqchip_attr(state->aia, KVM_GET_DEVICE_ATTR, KVM_DEV_RISCV_AIA_GRP_CONFIG,
				    KVM_DEV_RISCV_AIA_CONFIG_IDS, &state->ids, "identities");
	if (!error)
		error = aia_config(state->aia, KVM_DEV_RISCV_AIA_CONFIG_SRCS, FDT_GSI_END - 1,
				   "lines");
	if (!error)
		error = aia_config(state->aia, KVM_DEV_RISCV_AIA_CONFIG_HART_BITS,
				   bits_for(state->cpus), "processors");
	return error;
}

int riscv64_aia_start(const struct arch_state *state)
{
	int error = aia_place(state->aia, KVM_DEV_RISCV_AIA_ADDR_APLIC, RISCV64_APLIC, "place");
	for (unsigned int i = 0; i < state->cpus && !error; i++)
		error = aia_place(state->aia, KVM_DEV_RISCV_AIA_ADDR_IMSIC(i),
				  RISCV64_IMSIC + 0x1000ULL * i, "place for a processor");
	if (!error)
		error = vm_irqchip_attr(state->aia, KVM_SET_DEVICE_ATTR, KVM_DEV_RISCV_AIA_GRP_CTRL,
					KVM_DEV_RISCV_AIA_CTRL_INIT, NULL, "start");
	return error;
}
