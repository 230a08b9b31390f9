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
	atomic_bool inside; /* in KVM_RUN, where alone the guest's code can run */
};

/* Why vcpu_run() came back. */
enum vcpu_end {
	VCPU_KICKED,	   /* vcpu_kick(), a stop, long in a device: it can be run again */
	VCPU_GOES_ON,	   /* other_exit()'s answer, never vcpu_run()'s: the exit has been served */
	VCPU_TRIPLE_FAULT, /* the guest's CPU shut down */
	VCPU_RESET,	   /* the guest asked KVM to reset or power off (KVM_EXIT_SYSTEM_EVENT) */
	VCPU_POWEROFF,
	VCPU_CRASHED,	     /* it told KVM that it crashed */
	VCPU_INTERNAL_ERROR, /* KVM cannot go on; run->internal has the details */
	VCPU_FAILED_ENTRY,   /* the processor refused the guest's state; run->fail_entry */
	VCPU_UNKNOWN_EXIT,   /* an exit that ebb did not ask for; run->exit_reason */
	VCPU_ERROR,	     /* KVM_RUN itself failed, with *error */
};

/* What a vCPU meets outside. */
struct vcpu_host {
	const struct bus *pio, *mmio;
	const struct ram *ram;
	/* Serves an exit that means something on this architecture only: VCPU_GOES_ON, or how the vCPU ends. */
	enum vcpu_end (*other_exit)(const struct vcpu *vcpu, const struct vcpu_host *host);
	/* It left KVM_RUN after a kick, and may stay in a device for long; on the vCPU's thread. */
	void (*left)(void *ctx);
	void *left_ctx;
};

/* @vm outlives the vCPU. Returns 0 or -errno having said why. */
int vcpu_init(struct vcpu *vcpu, const struct vm *vm, unsigned int index);
void vcpu_release(struct vcpu *vcpu);

/*
 * Runs the guest until one of the reasons above; its port and memory accesses go to the buses.
 * *@error is the errno of VCPU_ERROR. The thread must not block vcpu_kick_signal().
 */
enum vcpu_end vcpu_run(struct vcpu *vcpu, const struct vcpu_host *host, int *error);

/*
 * Has vcpu_run() on @thread return VCPU_KICKED, now or as soon as it is called, or as the device lets
 * go of it that it is in. Once vcpu->inside has been seen false after that, the guest's code does not
 * run before vcpu_unkick(); before it is, left() will be called.
 */
void vcpu_kick(struct vcpu *vcpu, unsigned long thread);

/* Forgets a kick that came before; the thread's own, before vcpu_run(), when it knows of the kick otherwise. */
void vcpu_unkick(struct vcpu *vcpu);

/*
 * While vcpu_run() is not running: the guest's clock went on without it, and its watchdogs are to
 * overlook the gap. Only x86 has a way to say so, and a guest with kvm-clock listens to it: elsewhere
 * this does nothing.
 */
void vcpu_was_paused(const struct vcpu *vcpu);

/* Sets the process up for kicks (a signal that does nothing but interrupt); call once before threads. */
int vcpu_kick_signal(void);

#endif
