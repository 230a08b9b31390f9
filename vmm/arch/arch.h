/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an architecture implements, and all that the rest of ebb knows of it. One folder beside this
 * file each; the Makefile compiles the one of the machine it builds for.
 *
 * Thread: main, while the machine is built, unless a function says otherwise.
 */
#ifndef EBB_ARCH_ARCH_H
#define EBB_ARCH_ARCH_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "vmm/bus.h"
#include "vmm/kvm/vcpu.h"
#include "vmm/kvm/vm.h"
#include "vmm/mem/ram.h"

/* Where things are on this architecture. */
struct arch_map {
	const char *name;     /* of the architecture, as uname and QEMU have it */
	uint64_t virtio_base; /* the first virtio-mmio device; the others follow */
	unsigned int virtio_gsi;
	uint32_t reserved_gsis; /* a bit for each line from 0 on that is no virtio device's */
	uint64_t serial_base;
	bool serial_is_port; /* on the port bus, else on the memory bus */
	unsigned int serial_gsi;
	unsigned int power_gsi; /* of arch_platform */
	unsigned int cpus_max;	/* that our description of the machine can name */
};
extern const struct arch_map arch_map;

/*
 * Where @size bytes of RAM lie. Returns the number of spans (≤ RAM_REGIONS_MAX), or -E2BIG where
 * they would end beyond the @gpa_bits that the guest's processor can address.
 */
int arch_ram_layout(uint64_t size, unsigned int gpa_bits, struct gpa_range *span);

/* How many bits of guest-physical address this host's KVM gives a guest. */
unsigned int arch_gpa_bits(const struct vm *vm);

/* Interrupt controller and timers, before the first vCPU. Returns 0 or -errno, having said why. */
int arch_vm_init(const struct vm *vm, unsigned int cpus);

/* A virtio-mmio device, as the guest is to be told of it. */
struct arch_device {
	uint64_t base;
	uint64_t size;
	unsigned int gsi;
};

/* What to boot. */
struct arch_boot {
	const struct ram *ram;
	const char *kernel;
	const char *initrd; /* or NULL */
	const char *params; /* the user's own */
	unsigned int cpus;
	const struct arch_device *device;
	unsigned int devices;
};

/* How the boot vCPU starts; the architecture's own. */
struct arch_entry {
	uint64_t pc;
	uint64_t argument; /* the gpa of what the boot protocol hands over */
	unsigned int mode;
};

/*
 * Loads kernel and initrd into RAM, describes the machine there. Returns 0 or -errno having said
 * what is wrong and what to do.
 */
int arch_boot_load(const struct arch_boot *boot, struct arch_entry *entry);

/* Registers and CPUID of a vCPU; the one with index 0 starts at @entry, the others wait for it. */
int arch_vcpu_init(const struct vm *vm, const struct vcpu *vcpu, unsigned int cpus,
		   const struct arch_entry *entry);

/*
 * Says, in several lines on standard error, where a vCPU stood when it ended badly: the reason that
 * KVM gives, the instruction's bytes, the registers, and what can be done. Main thread, vCPU stopped.
 */
void arch_vcpu_report(const struct vcpu *vcpu, enum vcpu_end end, const struct ram *ram);

/* A vCPU's registers, in lines for a person to read. Main thread, vCPU stopped or paused. */
void arch_vcpu_registers(const struct vcpu *vcpu, FILE *out);

/* A non-maskable interrupt for a vCPU that is paused. Returns 0 or -errno. */
int arch_vcpu_nmi(const struct vcpu *vcpu);

/* The machine's own small devices: power, reset, panic. */
enum arch_power {
	ARCH_POWEROFF,
	ARCH_RESET,
	ARCH_PANIC, /* the guest's kernel says that it panicked */
};

/* Owned by the machine; the first part is the host's side, filled in before arch_platform_init(). */
struct arch_platform {
	void *ctx;
	void (*power)(void *ctx, enum arch_power what); /* any vCPU's thread */
	/* The level of the line arch_map.power_gsi; any thread, with the lock held, so that levels keep their order. */
	void (*interrupt)(void *ctx, int level);

	pthread_mutex_t lock;
	uint32_t events;	 /* that happened and were not yet seen, under the lock */
	uint32_t events_enabled; /* that are to interrupt, as the guest wrote it; likewise */
};

/* @platform stays where it is as long as the buses are used. Returns 0 or -errno. */
int arch_platform_init(struct arch_platform *platform, struct bus *pio, struct bus *mmio);
void arch_platform_release(struct arch_platform *platform);

/* The power button is pressed: a guest that listens shuts down. Any thread. */
void arch_power_button(struct arch_platform *platform);

#endif
