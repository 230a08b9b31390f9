/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vCPUs and their threads, which are started, paused, resumed and stopped together.
 *
 * Thread: main for all functions; the two callbacks come on a vCPU's thread.
 */
#ifndef EBB_MACHINE_CPUS_H
#define EBB_MACHINE_CPUS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "devices/bus.h"
#include "vmm/kvm/vcpu.h"
#include "vmm/lib/cpulist.h"
#include "vmm/lib/worker.h"

struct cpus;

struct cpu {
	struct cpus *cpus;
	struct vcpu vcpu;
	struct worker_thread thread;
	bool started;
	atomic_int tid;	   /* Linux's number of the thread; 0 before it runs */
	enum vcpu_end end; /* once the thread has ended */
	int error;	   /* errno, for VCPU_ERROR */
};

/* The owner fills it in before cpus_init(). */
struct cpus_host {
	void *ctx;
	struct vcpu_host vcpu; /* except left() */
	/* A vCPU failed, or the guest asked for an end: @cpu->end tells which. */
	void (*ended)(void *ctx, const struct cpu *cpu);
};

struct cpus {
	const struct cpus_host *host;
	struct cpu *cpu;
	unsigned int count;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* Under the lock. */
	bool paused;
	bool stopping;
};

/*
 * Creates @count vCPUs of @vm; the architecture sets their registers. Returns 0, or -errno after an error
 * message.
 */
int cpus_init(struct cpus *cpus, const struct cpus_host *host, const struct vm *vm,
	      unsigned int count);
void cpus_release(struct cpus *cpus);

/*
 * Starts the threads, on the host's CPUs in @affinity (an empty list: any). Returns 0, or -errno after an
 * error message: some may run then, and cpus_stop() ends them.
 */
int cpus_start(struct cpus *cpus, const struct cpulist *affinity);

/*
 * Ends and joins all threads; call console_hangup() before, so that none waits for the console. Returns false if
 * one has not ended at @deadline (clock_ns()) because it waits for a device that the host does not serve: then
 * everything that it uses must stay until the process ends.
 */
bool cpus_stop(struct cpus *cpus, uint64_t deadline);

/*
 * Pauses all vCPUs: after it none runs the guest's code. Returns false if the host holds one up within KVM for
 * longer than a second; it stops when it comes out. A vCPU in a device (which may wait for a slow reader of the
 * console, or a slow disk) has left the guest: it is not waited for, and stops before it returns to the guest.
 */
bool cpus_pause(struct cpus *cpus);
void cpus_resume(struct cpus *cpus);

#endif
