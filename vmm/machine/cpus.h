/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vCPUs and their threads: started, paused, resumed and stopped together.
 *
 * Thread: main, for all that is declared here; the two callbacks come on a vCPU's thread.
 */
#ifndef EBB_MACHINE_CPUS_H
#define EBB_MACHINE_CPUS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "devices/bus.h"
#include "vmm/kvm/vcpu.h"
#include "vmm/lib/cpulist.h"

struct cpus;

struct cpu {
	struct cpus *cpus;
	struct vcpu vcpu;
	pthread_t thread;
	bool started;
	atomic_int tid;	   /* the thread, as Linux numbers it; 0 before it runs */
	enum vcpu_end end; /* once the thread has ended */
	int error;	   /* errno, for VCPU_ERROR */
};

/* The owner's side, filled in before cpus_init(). */
struct cpus_host {
	void *ctx;
	struct vcpu_host vcpu; /* but for left() */
	/* A vCPU can not go on, or the guest asked for an end: @cpu->end tells. */
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

/* Makes @count vCPUs of @vm; their registers are the architecture's. Returns 0 or -errno, having said why. */
int cpus_init(struct cpus *cpus, const struct cpus_host *host, const struct vm *vm,
	      unsigned int count);
void cpus_release(struct cpus *cpus);

/*
 * Starts the threads, on the host's CPUs in @affinity (an empty list: any). Returns 0, or -errno having said
 * why, some of them then running: cpus_stop() ends those.
 */
int cpus_start(struct cpus *cpus, const struct cpulist *affinity);

/*
 * Ends and joins all threads. The console has been told to let go of them before. Returns false where one
 * has not ended at @deadline (clock_ns()), because it waits for a device that the host does not serve: then
 * all that it uses has to stay until the process ends.
 */
bool cpus_stop(struct cpus *cpus, uint64_t deadline);

/*
 * After it no vCPU runs the guest's code. Returns false where the host holds one up within KVM for longer than
 * a second: it stops as soon as it comes out. One
 * that is in a device (and waits for a slow reader of the console, or a slow disk) is out of the guest
 * and not waited for: it stops before it goes back.
 */
bool cpus_pause(struct cpus *cpus);
void cpus_resume(struct cpus *cpus);

#endif
