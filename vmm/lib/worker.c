// SPDX-License-Identifier: Apache-2.0
#include "vmm/lib/worker.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/fatal.h"
#include "vmm/lib/log.h"
#include "vmm/lib/wake.h"

/* A vCPU's or worker's thread needs most stack for a chain's snapshot plus the C library. */
#define STACK_SIZE (256 * 1024)

static void *thread_main(void *ctx)
{
	struct worker_thread *thread = ctx;
	pthread_setname_np(pthread_self(), thread->name);
	thread->tid = gettid();
	fatal_name(thread->name);
	if (thread->guard)
		thread->guard->enter(thread->guard, thread->name);
	return thread->run(thread->ctx);
}

int worker_thread_start(struct worker_thread *thread, const char *name,
			const struct worker_guard *guard, void *(*run)(void *ctx), void *ctx)
{
	*thread = (struct worker_thread){.guard = guard, .run = run, .ctx = ctx};
	snprintf(thread->name, sizeof(thread->name), "%s", name);
	pthread_attr_t attributes;
	int error = pthread_attr_init(&attributes);
	if (!error) {
		error = pthread_attr_setstacksize(&attributes, STACK_SIZE);
		if (!error)
			error = pthread_create(&thread->id, &attributes, thread_main, thread);
		pthread_attr_destroy(&attributes);
	}
	if (error) {
		log_error("cannot start the thread %s: %s", name, strerror(error));
		return -error;
	}
	return 0;
}

static void errand_came(void *ctx)
{
	struct worker *worker = ctx;

	if (!wake_take(worker->errand.fd))
		return;
	worker->run(worker->run_ctx);
	sem_post(&worker->done);
}

void worker_do(struct worker *worker, void (*run)(void *ctx), void *ctx)
{
	pthread_mutex_lock(&worker->turn);
	worker->run = run;
	worker->run_ctx = ctx;
	wake_ring(worker->errand.fd);
	while (!atomic_load(&worker->ended) && sem_wait(&worker->done) < 0)
		; /* a signal */
	pthread_mutex_unlock(&worker->turn);
}

int worker_init(struct worker *worker)
{
	worker->started = worker->held = false;
	atomic_init(&worker->ended, false);
	pthread_mutex_init(&worker->begin, NULL);
	pthread_mutex_init(&worker->turn, NULL);
	sem_init(&worker->done, 0, 0);
	worker->errand = (struct loop_source){wake_open(), errand_came, worker};
	int error = loop_init(&worker->loop);
	if (!error)
		error = worker->errand.fd < 0 ? worker->errand.fd
					      : loop_add(&worker->loop, &worker->errand);
	if (error)
		log_error("cannot set up a worker's loop: %s", strerror(-error));
	return error;
}

static void *worker_main(void *ctx)
{
	struct worker *worker = ctx;
	pthread_mutex_lock(&worker->begin);
	pthread_mutex_unlock(&worker->begin);
	int error = loop_run(&worker->loop);
	if (error)
		log_error("a device's worker stopped: %s", strerror(-error));
	/* Whoever waits in worker_do() goes on, and nobody waits from now on. */
	atomic_store(&worker->ended, true);
	sem_post(&worker->done);
	return NULL;
}

int worker_start(struct worker *worker, const char *name, const struct worker_guard *guard)
{
	int error = worker_thread_start(&worker->thread, name, guard, worker_main, worker);
	worker->started = error == 0;
	return error;
}

void worker_hold(struct worker *worker)
{
	pthread_mutex_lock(&worker->begin);
	worker->held = true;
}

void worker_begin(struct worker *worker)
{
	if (worker->held)
		pthread_mutex_unlock(&worker->begin);
	worker->held = false;
}

bool worker_set_patient(bool patient)
{
	const struct sched_param none = {0};

	return sched_getscheduler(0) == (patient ? SCHED_OTHER : SCHED_BATCH) &&
	       sched_setscheduler(0, patient ? SCHED_BATCH : SCHED_OTHER, &none) == 0;
}

bool worker_stop(struct worker *worker, uint64_t deadline)
{
	if (!worker->started)
		return true;
	loop_stop(&worker->loop);
	const struct timespec limit = clock_timespec(deadline);
	if (pthread_clockjoin_np(worker->thread.id, NULL, CLOCK_MONOTONIC, &limit) != 0)
		return false;
	worker->started = false;
	return true;
}

void worker_release(struct worker *worker)
{
	if (worker->started) {
		loop_stop(&worker->loop);
		pthread_join(worker->thread.id, NULL);
	}
	worker->started = false;
	if (worker->errand.fd >= 0)
		close(worker->errand.fd);
	worker->errand.fd = -1;
	sem_destroy(&worker->done);
	pthread_mutex_destroy(&worker->turn);
	pthread_mutex_destroy(&worker->begin);
	loop_release(&worker->loop);
}
