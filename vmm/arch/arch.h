/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interface that each architecture implements; the rest of ebb knows nothing else of it. Each
 * has a folder beside this file; the Makefile compiles the one for the machine that it builds for.
 * fdt/ is shared by the architectures whose guests find their devices in a device tree.
 *
 * The machine is built in this order: arch_vm_type(), arch_ram_layout(), arch_platform_init(),
 * arch_irqchip_init(), arch_vcpu_init() for each vCPU, arch_irqchip_start(), the devices and their
 * interrupts, and once the sandbox is entered arch_boot_load(), arch_vcpu_enter() for vCPU 0.
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
#include "vmm/arch/boot_file.h"
#include "vmm/kvm/vcpu.h"
#include "vmm/kvm/vm.h"
#include "vmm/lib/record.h"
#include "vmm/lib/why.h"
#include "vmm/mem/ram.h"

/* The addresses, interrupt lines and limits of this architecture's machine. */
struct arch_map {
	const char *name;     /* as uname and QEMU spell it */
	uint64_t virtio_base; /* the first virtio-mmio device; the others follow */
	/* Interrupt lines for virtio devices: those from virtio_gsi on and below virtio_gsi_end,
	 * except those whose bit is set in reserved_gsis. */
	unsigned int virtio_gsi, virtio_gsi_end;
	uint32_t reserved_gsis;
	uint64_t serial_base;
	bool serial_is_port; /* true: on the port bus; false: on the memory bus */
	unsigned int serial_gsi;
	unsigned int power_gsi; /* the line of arch_platform.interrupt() */
	unsigned int cpus_max;	/* the most vCPUs that can be described to the guest */
};
extern const struct arch_map arch_map;

/* KVM capabilities that this architecture needs, besides those that all architectures need. */
extern const struct vm_needs arch_needs;

/* Returns the type of a machine with @memory bytes of RAM and of what lies behind it, for vm_create(). @vm is not created yet. */
unsigned long arch_vm_type(const struct vm *vm, uint64_t memory);

/*
 * Sets where @size bytes of RAM lie. Returns the number of spans (≤ RAM_REGIONS_MAX), or -E2BIG if
 * they would end beyond the addresses that the guest's processor can form with @gpa_bits bits.
 */
int arch_ram_layout(uint64_t size, unsigned int gpa_bits, struct gpa_range *span);

/* Returns the number of bits in a guest-physical address with this host's KVM. */
unsigned int arch_gpa_bits(const struct vm *vm);

/* Pure. Returns the interrupt line of virtio device @index, or -ENOSPC if no line is left. Any thread. */
int arch_virtio_gsi(unsigned int index);

/* Pure. Returns whether a kernel with the parameters @params can use the line @gsi. Any thread. */
bool arch_gsi_usable(unsigned int gsi, const char *params);

/* A virtio-mmio device, as described to the guest. */
struct arch_device {
	uint64_t base;
	uint64_t size;
	unsigned int gsi;
};

/* The kernel to boot, and the machine to describe to it. */
struct arch_boot {
	const struct ram *ram;
	const struct boot_file *kernel; /* both are open; what is in them is a stranger's */
	const struct boot_file *initrd; /* or NULL */
	const char *params;		/* the user's kernel parameters */
	bool nodefaults;      /* add nothing to params; accept a flat image as the kernel */
	bool hvc;	      /* the console is the virtio console device's */
	const char *dump_dtb; /* the file to write the guest's device tree to, or NULL */
	const struct arch_device *device;
	unsigned int devices;
};

/* Returns the kernel parameters that ebb adds to the user's: the console, and a reboot after a panic. */
static inline const char *arch_params(const struct arch_boot *boot)
{
	if (boot->nodefaults)
		return "";
	return boot->hvc ? "console=hvc0 panic=-1" : "console=ttyS0 panic=-1";
}

/* How the boot vCPU starts. The meaning of @mode depends on the architecture. */
struct arch_entry {
	uint64_t pc;
	uint64_t argument; /* gpa of the data that the boot protocol passes */
	unsigned int mode;
};

/* The guest's requests to and reports through the platform. */
enum arch_power {
	ARCH_POWEROFF,
	ARCH_RESET,
	ARCH_PANIC, /* the guest's kernel reports a panic */
};

struct arch_state; /* the architecture's own part of a machine's state */

/*
 * The machine's interrupt controller, timers and small devices: power, reset, panic. Owner: the
 * machine, which fills in all but @state before arch_platform_init().
 */
struct arch_platform {
	void *ctx;
	void (*power)(void *ctx, enum arch_power what); /* any vCPU's thread */
	/* Sets the level of the line arch_map.power_gsi; any thread, one call at a time. */
	void (*interrupt)(void *ctx, int level);
	const struct vm *vm;
	unsigned int cpus;
	const char *irqchip; /* the kind that the user chose, or NULL */
	bool pmu;	     /* the user asked for performance counters */

	struct arch_state *state;
};

/*
 * Puts the platform's devices on the buses. @platform must outlive them and must not move. Returns
 * 0, or -errno after an error message.
 */
int arch_platform_init(struct arch_platform *platform, struct bus *pio, struct bus *mmio);
/* Call it even if arch_platform_init() failed or was not called. */
void arch_platform_release(struct arch_platform *platform);

/*
 * Creates the interrupt controller and timers, before any vCPU. Returns 0, or -errno after an error
 * message.
 */
int arch_irqchip_init(struct arch_platform *platform);
/*
 * Starts both once all vCPUs are created: from then on interrupts can be wired and raised. Returns
 * 0, or -errno after an error message.
 */
int arch_irqchip_start(struct arch_platform *platform);

/* Sets the level of interrupt line @gsi. For an edge, raise and lower it. Any thread. */
void arch_irq_line(const struct arch_platform *platform, unsigned int gsi, int level);

/*
 * Makes the kernel raise an edge on @gsi at each write to the eventfd @fd. Returns 0, -errno after
 * an error message, or -EOPNOTSUPP without one if the kernel cannot: then use arch_irq_line().
 */
int arch_irqfd(const struct arch_platform *platform, unsigned int gsi, int fd);

/* Presses the power button: a guest that handles it shuts down. Any thread. */
void arch_power_button(struct arch_platform *platform);

/*
 * Loads the kernel and initrd into RAM, with the description of the machine. It opens no file, but for
 * boot->dump_dtb: an attacker in the kernel's file finds as little there as one in the guest. Returns 0,
 * or -errno after an error message.
 */
int arch_boot_load(const struct arch_platform *platform, const struct arch_boot *boot,
		   struct arch_entry *entry);

/*
 * Sets a vCPU's features and its initial state. @vcpu must not move afterwards. Returns 0, or
 * -errno after an error message.
 */
int arch_vcpu_init(struct arch_platform *platform, const struct vcpu *vcpu);

/*
 * Makes vCPU 0 start at @entry; the others wait until the guest starts them. Returns 0, or -errno after an
 * error message.
 */
int arch_vcpu_enter(const struct vcpu *vcpu, const struct arch_entry *entry);

/*
 * Handles an exit that only this architecture has. Returns VCPU_GOES_ON, or how the vCPU ends:
 * VCPU_UNKNOWN_EXIT if ebb does not expect the exit. On the vCPU's thread.
 */
enum vcpu_end arch_vcpu_exit(const struct vcpu *vcpu, const struct vcpu_host *host);

/*
 * Logs, in several lines, the state of a vCPU that failed: the reason that KVM gives, the bytes of the
 * instruction, the registers, and advice for the user. Main thread, vCPU stopped.
 */
void arch_vcpu_postmortem(const struct vcpu *vcpu, enum vcpu_end end, const struct ram *ram);

/* Writes a vCPU's registers as readable text. Main thread, vCPU stopped or paused. */
void arch_vcpu_registers(const struct vcpu *vcpu, FILE *out);

/*
 * Sends a non-maskable interrupt to a paused vCPU. Returns 0, -EOPNOTSUPP if the architecture has
 * no such interrupt, or -errno.
 */
int arch_vcpu_nmi(const struct vcpu *vcpu);

/*
 * Snapshots: docs/snapshot-format.md has the records. Saving: any thread, while no vCPU runs and none has an access
 * to finish. Restoring: main, after RAM, instead of arch_boot_load(): first all vCPUs, then the platform, whose
 * interrupts go to them. What is restored is not trusted; KVM checks what is its own. All return 0, or -errno with
 * @why set.
 */

/* Returns -EOPNOTSUPP with @why set if machines of this architecture cannot be saved yet. */
int arch_can_save(struct why *why);
int arch_vcpu_save(const struct arch_platform *platform, const struct vcpu *vcpu,
		   struct record *record, struct why *why);
int arch_vcpu_restore(struct arch_platform *platform, const struct vcpu *vcpu, struct record_in *in,
		      struct why *why);
int arch_platform_save(const struct arch_platform *platform, struct record *record,
		       struct why *why);
int arch_platform_restore(struct arch_platform *platform, struct record_in *in, struct why *why);
/* After both: tells the guest that it goes on as another one, for its random numbers. */
int arch_new_generation(struct arch_platform *platform, const struct ram *ram, struct why *why);

#endif
