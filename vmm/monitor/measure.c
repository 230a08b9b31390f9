// SPDX-License-Identifier: Apache-2.0
#include "vmm/monitor/measure.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"
#include "vmm/lib/wake.h"
#include "vmm/monitor/part.h"

/* How long to wait for a worker that hangs when the machine has ended. */
#define PATIENCE_NS NS_PER_S

static void look(void *ctx)
{
	struct measure *measure = ctx;
	if (!wake_take(measure->wanted.fd))
		return;
	monitor_measure_parts(measure->monitor);
	wake_ring(measure->done.fd);
}

static void begin(struct measure *measure)
{
	memcpy(measure->now, measure->next, measure->next_count * sizeof(measure->now[0]));
	measure->now_count = measure->next_count;
	measure->next_count = 0;
	measure->running = true;
	wake_ring(measure->wanted.fd);
}

static void has_looked(void *ctx)
{
	struct measure *measure = ctx;
	if (!wake_take(measure->done.fd))
		return;
	/* Before the worker starts again: the callbacks read the figures it has measured. */
	for (unsigned int i = 0; i < measure->now_count; i++)
		measure->now[i].done(measure->monitor, measure->now[i].ticket);
	measure->now_count = 0;
	measure->running = false;
	if (measure->next_count)
		begin(measure);
}

int measure_init(struct measure *measure, struct monitor *monitor)
{
	*measure = (struct measure){
		.monitor = monitor,
		.wanted = {-1, look, measure},
		.done = {-1, has_looked, measure},
	};
	int error = worker_init(&measure->worker);
	if (error)
		return error;
	measure->wanted.fd = wake_open();
	measure->done.fd = wake_open();
	if (measure->wanted.fd < 0 || measure->done.fd < 0)
		error = measure->wanted.fd < 0 ? measure->wanted.fd : measure->done.fd;
	if (!error)
		error = loop_add(&measure->worker.loop, &measure->wanted);
	if (!error)
		error = loop_add(&monitor->machine->loop, &measure->done);
	if (error)
		log_error("cannot set up the thread that measures memory and disks: %s",
			  strerror(-error));
	return error;
}

bool measure_release(struct measure *measure)
{
	if (!worker_stop(&measure->worker, clock_ns() + PATIENCE_NS)) {
		log_warn("measuring the guest's memory and disks still hangs: ebb ends without "
			 "waiting for it; check the storage of its disks");
		return false;
	}
	worker_release(&measure->worker);
	if (measure->wanted.fd >= 0)
		close(measure->wanted.fd);
	if (measure->done.fd >= 0)
		close(measure->done.fd);
	measure->wanted.fd = measure->done.fd = -1;
	return true;
}

int measure_start(struct measure *measure, const struct worker_guard *guard)
{
	return worker_start(&measure->worker, "measure", guard);
}

int measure_prepare(struct measure *measure)
{
	return measure->next_count == MEASURE_WAITING_MAX ? -EBUSY : 0;
}

void measure_ask(struct measure *measure, void (*done)(struct monitor *monitor, uint64_t ticket),
		 uint64_t ticket)
{
	measure->next[measure->next_count++] = (struct measure_waiting){done, ticket};
	if (!measure->running)
		begin(measure);
}
