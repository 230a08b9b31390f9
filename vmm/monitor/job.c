// SPDX-License-Identifier: Apache-2.0
#include "vmm/monitor/job.h"

#include <string.h>
#include <unistd.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"
#include "vmm/lib/wake.h"

/* How long to wait for a worker that hangs when the machine has ended. */
#define PATIENCE_NS NS_PER_S

/* On the worker. */
static void on_wanted(void *ctx)
{
	struct job *job = ctx;
	if (!wake_take(job->wanted.fd))
		return;
	job->run(job->ctx);
	wake_ring(job->done.fd);
}

static void on_done(void *ctx)
{
	struct job *job = ctx;
	if (wake_take(job->done.fd))
		job->finished(job->ctx);
}

int job_init(struct job *job, struct loop *loop, const char *what, void (*run)(void *ctx),
	     void (*finished)(void *ctx), void *ctx)
{
	*job = (struct job){
		.wanted = {-1, on_wanted, job},
		.done = {-1, on_done, job},
		.run = run,
		.finished = finished,
		.ctx = ctx,
	};
	int error = worker_init(&job->worker);
	if (error)
		return error;
	job->wanted.fd = wake_open();
	job->done.fd = wake_open();
	if (job->wanted.fd < 0 || job->done.fd < 0)
		error = job->wanted.fd < 0 ? job->wanted.fd : job->done.fd;
	if (!error)
		error = loop_add(&job->worker.loop, &job->wanted);
	if (!error)
		error = loop_add(loop, &job->done);
	if (error)
		log_error("cannot set up the thread that %s: %s", what, strerror(-error));
	return error;
}

bool job_release(struct job *job)
{
	if (!worker_stop(&job->worker, clock_ns() + PATIENCE_NS))
		return false;
	worker_release(&job->worker);
	if (job->wanted.fd >= 0)
		close(job->wanted.fd);
	if (job->done.fd >= 0)
		close(job->done.fd);
	job->wanted.fd = job->done.fd = -1;
	return true;
}

int job_start(struct job *job, const char *name, const struct worker_guard *guard)
{
	return worker_start(&job->worker, name, guard);
}

void job_begin(struct job *job)
{
	wake_ring(job->wanted.fd);
}
