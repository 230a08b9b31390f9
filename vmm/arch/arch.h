/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an architecture implements, and all that the rest of ebb knows of it. One folder beside this
 * file each; the Makefile compiles the one of the machine it builds for. What those share that are told
 * of their devices by a device tree is in fdt/.
 *
 * The machine is built in this order: arch_vm_type(), arch_ram_layout(), arch_platform_init(),
 * arch_irqchip_init(), arch_vcpu_init() for each vCPU, arch_irqchip_start(), the devices and their
 * interrupts, arch_boot_load(), arch_vcpu_enter() for vCPU 0.
 *
 * Thread: main, while the machine is built, unless a function says otherwise.
 */
#ifndef EBB_ARCH_ARCH_H
#define EBB_ARCH_ARCH_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "devices/bus.h"
#include "vmm/kvm/vcpu.h"
#include "vmm/kvm/vm.h"
#include "vmm/mem/ram.h"

/* Where things are on this architecture. */
struct arch_map {
	const char *name;     /* of the architecture, as uname and QEMU have it */
	uint64_t virtio_base; /* the first virtio-mmio device; the others follow */
	/* Virtio devices' interrupt lines: from the one up to the other, but for those with a bit here. */
	unsigned int virtio_gsi, virtio_gsi_end;
	uint32_t reserved_gsis;
	uint64_t serial_base;
	bool serial_is_port; /* on the port bus, else on the memory bus */
	unsigned int serial_gsi;
	unsigned int power_gsi; /* of arch_platform */
	unsigned int cpus_max;	/* that our description of the machine can name */
};
extern const struct arch_map arch_map;

/* What this architecture needs of KVM, beside what all of them do. */
extern const struct vm_needs arch_needs;

/* The type that KVM is to make a machine with @memory bytes of; @vm is open and not yet made. */
unsigned long arch_vm_type(const struct vm *vm, uint64_t memory);

/*
 * Where @size bytes of RAM lie. Returns the number of spans (≤ RAM_REGIONS_MAX), or -E2BIG where
 * they would end beyond the @gpa_bits that the guest's processor can address.
 */
int arch_ram_layout(uint64_t size, unsigned int gpa_bits, struct gpa_range *span);

/* How many bits of guest-physical address this host's KVM gives a guest. */
unsigned int arch_gpa_bits(const struct vm *vm);

/* Pure. The interrupt line of the @index-th virtio device, or -ENOSPC where there are no more. Any thread. */
int arch_virtio_gsi(unsigned int index);

/* A virtio-mmio device, as the guest is to be told of it. */
struct arch_device {
	uint64_t base;
	uint64_t size;
	unsigned int gsi;
};

/* What a guest's kernel is told beside the user's own: the console that ebb gives, a reboot after a panic. */
#define ARCH_PARAMS "console=ttyS0 panic=-1"

/* What to boot. */
struct arch_boot {
	const struct ram *ram;
	const char *kernel;
	const char *initrd;   /* or NULL */
	const char *params;   /* the user's own */
	bool nodefaults;      /* nothing is added to these; a flat image is a kernel, too */
	const char *dump_dtb; /* a file for the device tree that the guest is handed, or NULL */
	const struct arch_device *device;
	unsigned int devices;
};

/* How the boot vCPU starts; the architecture's state. */
struct arch_entry {
	uint64_t pc;
	uint64_t argument; /* the gpa of what the boot protocol hands over */
	unsigned int mode;
};

/* The machine's interrupt controller, timers and own small devices: power, reset, panic. */
enum arch_power {
	ARCH_POWEROFF,
	ARCH_RESET,
	ARCH_PANIC, /* the guest's kernel says that it panicked */
};

struct arch_state; /* what an architecture has to remember of a machine */

/* Owned by the machine; the first part is the host's side, filled in before arch_platform_init(). */
struct arch_platform {
	void *ctx;
	void (*power)(void *ctx, enum arch_power what); /* any vCPU's thread */
	/* The level of the line arch_map.power_gsi; any thread, one call at a time. */
	void (*interrupt)(void *ctx, int level);
	const struct vm *vm;
	unsigned int cpus;
	const char *irqchip; /* the kind that is asked for, or NULL */
	bool pmu;	     /* performance counters are asked for */

	struct arch_state *state;
};

/*
 * Its own devices, on the buses. @platform stays where it is as long as those are used. Returns 0 or
 * -errno having said why.
 */
int arch_platform_init(struct arch_platform *platform, struct bus *pio, struct bus *mmio);
/* Also after an init that failed, or was never called. */
void arch_platform_release(struct arch_platform *platform);

/* Interrupt controller and timers, before the first vCPU. Returns 0 or -errno, having said why. */
int arch_irqchip_init(struct arch_platform *platform);
/* Once all vCPUs are there: from here on interrupts can be wired and raised. Likewise. */
int arch_irqchip_start(struct arch_platform *platform);

/* Sets the level of interrupt line @gsi; one that the guest takes by its edge is raised and lowered. Any thread. */
void arch_irq_line(const struct arch_platform *platform, unsigned int gsi, int level);

/*
 * Has a write to the eventfd @fd raise an edge on @gsi, within the kernel. Returns 0, -errno having
 * said why, or -EOPNOTSUPP, silently, where the kernel cannot: then arch_irq_line() does it.
 */
int arch_irqfd(const struct arch_platform *platform, unsigned int gsi, int fd);

/* The power button is pressed: a guest that listens shuts down. Any thread. */
void arch_power_button(struct arch_platform *platform);

/*
 * Loads kernel and initrd into RAM, describes the machine there. Returns 0 or -errno having said
 * what is wrong and what to do.
 */
int arch_boot_load(const struct arch_platform *platform, const struct arch_boot *boot,
		   struct arch_entry *entry);

/* What each vCPU is: its features, its first state. @vcpu stays where it is. Returns 0 or -errno, having said why. */
int arch_vcpu_init(struct arch_platform *platform, const struct vcpu *vcpu);

/* Has vCPU 0 start at @entry; the others wait until the guest starts them. Likewise. */
int arch_vcpu_enter(const struct vcpu *vcpu, const struct arch_entry *entry);

/*
 * Serves an exit that means something on this architecture only. Returns VCPU_GOES_ON, or how the vCPU
 * ends: VCPU_UNKNOWN_EXIT where ebb asked for no such exit. The vCPU's own thread.
 */
enum vcpu_end arch_vcpu_exit(const struct vcpu *vcpu, const struct vcpu_host *host);

/*
 * Says, in several lines on standard error, where a vCPU stood when it ended badly: the reason that
 * KVM gives, the instruction's bytes, the registers, and what can be done. Main thread, vCPU stopped.
 */
void arch_vcpu_postmortem(const struct vcpu *vcpu, enum vcpu_end end, const struct ram *ram);

/* A vCPU's registers, in lines for a person to read. Main thread, vCPU stopped or paused. */
void arch_vcpu_registers(const struct vcpu *vcpu, FILE *out);

/* A non-maskable interrupt for a vCPU that is paused. Returns 0, -EOPNOTSUPP where there is no such thing, or -errno. */
int arch_vcpu_nmi(const struct vcpu *vcpu);

#endif
