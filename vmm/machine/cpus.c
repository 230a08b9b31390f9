// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/cpus.h"

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"
#include "vmm/lib/worker.h"

/* A vCPU leaves the guest in microseconds, unless the host holds it up in a page fault. */
#define PAUSE_LIMIT_NS NS_PER_S

/* Waits while the guest is paused. Returns true if this thread may run the guest. */
static bool cpu_enter(struct cpu *cpu)
{
	struct cpus *cpus = cpu->cpus;

	pthread_mutex_lock(&cpus->lock);
	while (cpus->paused && !cpus->stopping) {
		if (!cpu->parked)
			pthread_cond_broadcast(&cpus->changed);
		cpu->parked = true;
		pthread_cond_wait(&cpus->changed, &cpus->lock);
	}
	cpu->parked = false;
	bool go = !cpus->stopping;
	/* Still under the lock, so that no kick comes in between. */
	if (go)
		vcpu_unkick(&cpu->vcpu);
	pthread_mutex_unlock(&cpus->lock);
	return go;
}

/* vcpu_host.left: cpus_pause() may wait for it. */
static void cpu_left(void *ctx)
{
	struct cpus *cpus = ctx;

	pthread_mutex_lock(&cpus->lock);
	pthread_cond_broadcast(&cpus->changed);
	pthread_mutex_unlock(&cpus->lock);
}

static void *cpu_main(void *ctx)
{
	struct cpu *cpu = ctx;
	const struct cpus_host *host = cpu->cpus->host;
	struct vcpu_host vcpu_host = host->vcpu;
	vcpu_host.left = cpu_left;
	vcpu_host.left_ctx = cpu->cpus;

	while (cpu->end == VCPU_KICKED && cpu_enter(cpu)) {
		cpu->end = vcpu_run(&cpu->vcpu, &vcpu_host, &cpu->error);
		/*
		 * SIGSTOP, a frozen cgroup and a suspended host interrupt KVM_RUN, too, and end
		 * before it returns. The guest's clock kept running meanwhile.
		 */
		vcpu_was_paused(&cpu->vcpu);
	}
	if (cpu->end != VCPU_KICKED)
		host->ended(host->ctx, cpu);
	return NULL;
}

/* Call it with the lock held: each thread is kicked, or sees the reason before it enters. */
static void kick_all(struct cpus *cpus)
{
	for (unsigned int i = 0; i < cpus->count; i++)
		if (cpus->cpu[i].started)
			vcpu_kick(&cpus->cpu[i].vcpu, cpus->cpu[i].thread.id);
}

int cpus_init(struct cpus *cpus, const struct cpus_host *host, const struct vm *vm,
	      unsigned int count)
{
	*cpus = (struct cpus){.host = host};
	pthread_mutex_init(&cpus->lock, NULL);
	pthread_cond_init(&cpus->changed, NULL);
	cpus->cpu = calloc(count, sizeof(*cpus->cpu));
	if (!cpus->cpu) {
		log_error("cannot create %u vCPUs: the host has no memory left", count);
		return -ENOMEM;
	}
	int error = 0;
	for (unsigned int i = 0; i < count && !error; i++) {
		struct cpu *cpu = &cpus->cpu[i];
		cpu->cpus = cpus;
		cpu->end = VCPU_KICKED;
		error = vcpu_init(&cpu->vcpu, vm, i);
		cpus->count++;
	}
	return error;
}

void cpus_release(struct cpus *cpus)
{
	for (unsigned int i = 0; i < cpus->count; i++)
		vcpu_release(&cpus->cpu[i].vcpu);
	free(cpus->cpu);
	cpus->cpu = NULL;
	cpus->count = 0;
	pthread_cond_destroy(&cpus->changed);
	pthread_mutex_destroy(&cpus->lock);
}

static int cpu_start(struct cpu *cpu, const struct cpulist *affinity,
		     const struct worker_guard *guard)
{
	unsigned int index = cpu->vcpu.index;
	char name[16];
	snprintf(name, sizeof(name), "vcpu%u", index);
	int error = worker_thread_start(&cpu->thread, name, guard, cpu_main, cpu);
	if (error)
		return error;
	cpu->started = true;
	if (affinity->count == 0)
		return 0;
	/* The kernel's mask has the list's format: words, with the lowest CPUs first. */
	error = pthread_setaffinity_np(cpu->thread.id, sizeof(affinity->bits),
				       (const cpu_set_t *)affinity->bits);
	if (error)
		log_error("cannot run vCPU %u on any CPU of --vcpu-affinity: %s", index,
			  strerror(error));
	return -error;
}

int cpus_start(struct cpus *cpus, const struct cpulist *affinity, const struct worker_guard *guard)
{
	int error = 0;
	for (unsigned int i = 0; i < cpus->count && !error; i++)
		error = cpu_start(&cpus->cpu[i], affinity, guard);
	return error;
}

bool cpus_stop(struct cpus *cpus, uint64_t deadline)
{
	const struct timespec limit = clock_timespec(deadline);
	bool all = true;

	pthread_mutex_lock(&cpus->lock);
	cpus->stopping = true;
	kick_all(cpus);
	pthread_cond_broadcast(&cpus->changed);
	pthread_mutex_unlock(&cpus->lock);
	for (unsigned int i = 0; i < cpus->count; i++)
		if (cpus->cpu[i].started && pthread_clockjoin_np(cpus->cpu[i].thread.id, NULL,
								 CLOCK_MONOTONIC, &limit) != 0)
			all = false;
	return all;
}

static bool any_inside(struct cpus *cpus)
{
	for (unsigned int i = 0; i < cpus->count; i++)
		if (atomic_load(&cpus->cpu[i].vcpu.inside))
			return true;
	return false;
}

bool cpus_pause(struct cpus *cpus)
{
	const struct timespec limit = clock_timespec(clock_ns() + PAUSE_LIMIT_NS);

	pthread_mutex_lock(&cpus->lock);
	cpus->paused = true;
	kick_all(cpus);
	int error = 0;
	while (any_inside(cpus) && !error)
		error = pthread_cond_clockwait(&cpus->changed, &cpus->lock, CLOCK_MONOTONIC,
					       &limit);
	bool outside = !any_inside(cpus);
	pthread_mutex_unlock(&cpus->lock);
	return outside;
}

static bool all_parked(const struct cpus *cpus)
{
	for (unsigned int i = 0; i < cpus->count; i++)
		if (!cpus->cpu[i].parked)
			return false;
	return true;
}

bool cpus_settle(struct cpus *cpus)
{
	const struct timespec limit = clock_timespec(clock_ns() + PAUSE_LIMIT_NS);
	int error = 0;

	pthread_mutex_lock(&cpus->lock);
	while (!all_parked(cpus) && !error)
		error = pthread_cond_clockwait(&cpus->changed, &cpus->lock, CLOCK_MONOTONIC,
					       &limit);
	bool all = cpus->paused && all_parked(cpus);
	pthread_mutex_unlock(&cpus->lock);
	return all;
}

void cpus_resume(struct cpus *cpus)
{
	pthread_mutex_lock(&cpus->lock);
	cpus->paused = false;
	pthread_cond_broadcast(&cpus->changed);
	pthread_mutex_unlock(&cpus->lock);
}
