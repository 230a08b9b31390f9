/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vCPUs and their threads, which are started, paused, resumed and stopped together.
 *
 * Thread: main for all functions; both callbacks run on a vCPU's thread.
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
	bool parked; /* waits, with nothing half done, for the pause to end; under the lock of struct cpus */
	enum vcpu_end end; /* valid once the thread has ended */
	int error;	   /* errno, for VCPU_ERROR */
};

/* The owner fills it in before cpus_init(). */
struct cpus_host {
	void *ctx;
	struct vcpu_host vcpu; /* except left() */
	/* A vCPU failed, or the guest asked ebb to end: see @cpu->end. */
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
 * Creates @count vCPUs of @vm; the architecture sets their registers. Returns 0, or -errno after an
 * error message.
 */
int cpus_init(struct cpus *cpus, const struct cpus_host *host, const struct vm *vm,
	      unsigned int count);
void cpus_release(struct cpus *cpus);

/*
 * Starts the threads, which enter @guard, on the host's CPUs in @affinity (an empty list: any). Returns 0, or -errno after an
 * error message: some threads may be running then, and cpus_stop() ends them.
 */
int cpus_start(struct cpus *cpus, const struct cpulist *affinity, const struct worker_guard *guard);

/*
 * Ends and joins all threads; call console_hangup() first, so that no thread waits for the console.
 * Returns false if a thread has not ended by @deadline (clock_ns()) because it waits for a device
 * that the host does not serve: then everything that the thread uses must stay until the process
 * ends.
 */
bool cpus_stop(struct cpus *cpus, uint64_t deadline);

/*
 * Pauses all vCPUs: afterwards no vCPU runs the guest's code. Returns false if the host holds a
 * vCPU up within KVM for longer than a second; that vCPU stops when it leaves KVM. Does not wait
 * for a vCPU in a device (which may wait for a slow reader of the console, or a slow disk): it has
 * left the guest, and stops before it returns there.
 */
bool cpus_pause(struct cpus *cpus);
/*
 * After cpus_pause(): waits up to a second until all vCPUs have finished what they do in devices, too, so that
 * their state can be saved. Returns false if one waits for a device or for the console.
 */
bool cpus_settle(struct cpus *cpus);
void cpus_resume(struct cpus *cpus);

#endif
