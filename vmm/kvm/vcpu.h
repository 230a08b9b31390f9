/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One virtual CPU: its file descriptor, its shared page, and the loop that runs it.
 *
 * Thread: vcpu_init() and vcpu_release() on main; vcpu_run() on the vCPU's own thread;
 * vcpu_kick() on any other. Source: Documentation/virt/kvm/api.rst, "The kvm_run structure".
 */
#ifndef EBB_KVM_VCPU_H
#define EBB_KVM_VCPU_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/bus.h"
#include "vmm/kvm/vm.h"

struct kvm_run;
struct ram;

struct vcpu {
	const struct vm *vm;
	unsigned int index;
	int fd;
	struct kvm_run *run;
	size_t run_size;
	atomic_bool inside; /* true in KVM_RUN: the guest's code runs only there */
};

/* Why vcpu_run() returned. */
enum vcpu_end {
	VCPU_KICKED,	   /* vcpu_kick(), a stop, long in a device: can be run again */
	VCPU_GOES_ON,	   /* from other_exit(), never from vcpu_run(): the exit was handled */
	VCPU_TRIPLE_FAULT, /* the guest's CPU shut down */
	VCPU_RESET,	   /* the guest asked KVM to reset or power off (KVM_EXIT_SYSTEM_EVENT) */
	VCPU_POWEROFF,
	VCPU_CRASHED,	     /* the guest told KVM that it crashed */
	VCPU_INTERNAL_ERROR, /* KVM cannot continue; run->internal has the details */
	VCPU_FAILED_ENTRY,   /* the processor refused the guest's state; run->fail_entry */
	VCPU_UNKNOWN_EXIT,   /* an exit that ebb does not expect; run->exit_reason */
	VCPU_ERROR,	     /* KVM_RUN itself failed, with *error */
};

/* The handlers of a vCPU's exits. */
struct vcpu_host {
	const struct bus *pio, *mmio;
	const struct ram *ram;
	/* Handles an exit that only this architecture has: VCPU_GOES_ON, or how the vCPU ends. */
	enum vcpu_end (*other_exit)(const struct vcpu *vcpu, const struct vcpu_host *host);
	/* The vCPU left KVM_RUN after a kick and may be in a device for long. The vCPU's thread. */
	void (*left)(void *ctx);
	void *left_ctx;
};

/* @vm must outlive the vCPU. Returns 0, or -errno after an error message. */
int vcpu_init(struct vcpu *vcpu, const struct vm *vm, unsigned int index);
void vcpu_release(struct vcpu *vcpu);

/*
 * Calls KVM's ioctl @request on the vCPU, whose thread must not be running. Returns 0, or -errno
 * after an error message with @what, such as "registers".
 */
int vcpu_ioctl(const struct vcpu *vcpu, unsigned long request, const void *argument,
	       const char *what);

/*
 * Get or set the register that KVM_GET_ONE_REG numbers @id. Getting returns 0, or -errno with
 * *@value 0 and without a message: an older KVM may not know the register. Setting returns as
 * vcpu_ioctl().
 */
int vcpu_get_reg(const struct vcpu *vcpu, uint64_t id, uint64_t *value);
int vcpu_set_reg(const struct vcpu *vcpu, uint64_t id, uint64_t value, const char *what);

/*
 * Runs the guest until one of the ends above. Its port and memory accesses go to the buses. Sets
 * *@error to the errno for VCPU_ERROR. The thread must not block the signal of vcpu_kick_signal().
 */
enum vcpu_end vcpu_run(struct vcpu *vcpu, const struct vcpu_host *host, int *error);

/*
 * Makes vcpu_run() on @thread return VCPU_KICKED: at once, as soon as it is called, or as soon as a
 * device access ends. If vcpu->inside is false after the kick, the guest's code does not run until
 * vcpu_unkick(); if it is still true, left() will be called.
 */
void vcpu_kick(struct vcpu *vcpu, unsigned long thread);

/* Cancels a kick. The vCPU's thread calls it after it noticed the kick, before vcpu_run(). */
void vcpu_unkick(struct vcpu *vcpu);

/*
 * Tells the guest that it was paused while its clock went on, so that its watchdogs ignore the gap. Call it
 * while vcpu_run() is not running. Has an effect only on x86, in a guest with kvm-clock.
 */
void vcpu_was_paused(const struct vcpu *vcpu);

/* Prepares for kicks by a signal that only interrupts. Call it once, before any thread starts. */
int vcpu_kick_signal(void);

#endif
