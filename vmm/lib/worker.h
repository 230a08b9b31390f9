/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread with a loop of its own, for work that may take long, such as a device's worker, which
 * discards memory. It sleeps until one of its sources is ready.
 *
 * Thread: main; sources are called on the worker's thread.
 */
#ifndef EBB_LIB_WORKER_H
#define EBB_LIB_WORKER_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/lib/loop.h"

/*
 * What a thread does first of all, on itself: it gives up what a thread of its name does not need.
 * If it cannot, it says why and does not return. NULL: nothing. The struct must not move while
 * threads start.
 */
struct worker_guard {
	void (*enter)(const struct worker_guard *guard, const char *name);
};

/* A thread of ebb. The struct must not move while the thread runs. */
struct worker_thread {
	pthread_t id;
	char name[16];	/* for ps */
	atomic_int tid; /* the kernel's; 0 before it runs */
	const struct worker_guard *guard;
	void *(*run)(void *ctx);
	void *ctx;
};

struct worker {
	struct loop loop; /* sources may be added before and after the start */
	struct worker_thread thread;
	pthread_mutex_t begin; /* while main has it, the thread serves nothing */
	bool started, held;

	/* worker_do() */
	struct loop_source errand; /* an eventfd */
	pthread_mutex_t turn;	   /* of threads that have one */
	void (*run)(void *ctx);
	void *run_ctx;
	atomic_bool ended;
	sem_t done; /* an errand, or the worker */
};

/* @name is the thread's name (at most 15 bytes). Return 0, or -errno after an error message. */
int worker_init(struct worker *worker);
int worker_start(struct worker *worker, const char *name, const struct worker_guard *guard);

/* Before the start: the thread serves no source until worker_begin(), but it has entered its guard. */
void worker_hold(struct worker *worker);
void worker_begin(struct worker *worker);

/*
 * Has the worker's thread call run(ctx) between two sources, and returns when that is done. Any other thread, one after the
 * other. A worker that has not begun does it then; one that has ended does not, and this returns.
 */
void worker_do(struct worker *worker, void (*run)(void *ctx), void *ctx);

/*
 * Ends the thread once it has served its current source, and waits until @deadline (clock_ns()) for
 * that. Returns true if it has ended or was never started. Otherwise the worker and all that its
 * sources use must stay as they are until the process ends.
 */
bool worker_stop(struct worker *worker, uint64_t deadline);

/*
 * Makes the calling thread patient, or no longer: when it is woken on a CPU that another thread has, that one goes on,
 * until it waits or its time is over (SCHED_BATCH). Returns whether it did; a thread that was not given the ordinary
 * policy keeps its own.
 */
bool worker_set_patient(bool patient);

/* Waits, without limit, until the current source is served, then ends the thread. */
void worker_release(struct worker *worker);

/*
 * Calls run(ctx) on a thread with a small stack, the caller's blocked signals, and @name, which it
 * has before @guard and then run() are called. The caller joins it. Returns 0, or -errno after an
 * error message.
 */
int worker_thread_start(struct worker_thread *thread, const char *name,
			const struct worker_guard *guard, void *(*run)(void *ctx), void *ctx);

#endif
