/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One job at a time on a worker of its own, so that the machine's loop goes on meanwhile.
 *
 * Owner: struct measure and struct saver. Thread: main, which runs the loop, for all declared here.
 */
#ifndef EBB_MONITOR_JOB_H
#define EBB_MONITOR_JOB_H

#include <stdbool.h>

#include "vmm/lib/loop.h"
#include "vmm/lib/worker.h"

struct job {
	struct worker worker;
	struct loop_source wanted; /* eventfd, on the worker */
	struct loop_source done;   /* eventfd, on the loop */
	void (*run)(void *ctx);
	void (*finished)(void *ctx);
	void *ctx;
};

/*
 * Sets up a thread that @what ("measures memory"), for @loop. It will call run(@ctx) on the worker,
 * then finished(@ctx) on the loop. Returns 0, or -errno after an error message; call job_release()
 * in both cases.
 */
int job_init(struct job *job, struct loop *loop, const char *what, void (*run)(void *ctx),
	     void (*finished)(void *ctx), void *ctx);
/*
 * Waits for the worker up to a second. Returns false if it hangs: then all that it uses must stay
 * until the process ends.
 */
bool job_release(struct job *job);

/*
 * Starts the thread called @name, before the guest runs: later none can be started. Returns 0, or
 * -errno after an error message.
 */
int job_start(struct job *job, const char *name, const struct worker_guard *guard);

/* Has the job done. Not while it is being done. */
void job_begin(struct job *job);

#endif
