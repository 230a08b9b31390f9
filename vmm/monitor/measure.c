// SPDX-License-Identifier: Apache-2.0
#include "vmm/monitor/measure.h"

#include <errno.h>
#include <string.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"
#include "vmm/monitor/part.h"

/* On the worker. */
static void look(void *ctx)
{
	struct measure *measure = ctx;
	monitor_measure_parts(measure->monitor);
}

static void begin(struct measure *measure)
{
	memcpy(measure->now, measure->next, measure->next_count * sizeof(measure->now[0]));
	measure->now_count = measure->next_count;
	measure->next_count = 0;
	measure->running = true;
	job_begin(&measure->job);
}

static void has_looked(void *ctx)
{
	struct measure *measure = ctx;
	/* Before the worker starts again: the callbacks read the figures it has measured. */
	for (unsigned int i = 0; i < measure->now_count; i++)
		measure->now[i].done(measure->monitor, measure->now[i].ticket);
	measure->now_count = 0;
	measure->running = false;
	measure->ended = clock_ns();
	if (measure->next_count)
		begin(measure);
}

int measure_init(struct measure *measure, struct monitor *monitor)
{
	*measure = (struct measure){.monitor = monitor};
	return job_init(&measure->job, &monitor->machine->loop, "measures memory and disks", look,
			has_looked, measure);
}

bool measure_release(struct measure *measure)
{
	bool ended = job_release(&measure->job);
	if (!ended)
		log_warn("measuring the guest's memory and disks still hangs: ebb ends without "
			 "waiting for it; check the storage of its disks");
	return ended;
}

int measure_start(struct measure *measure, const struct worker_guard *guard)
{
	return job_start(&measure->job, "measure", guard);
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

bool measure_is_fresh(const struct measure *measure)
{
	return !measure->running && measure->ended && clock_ns() - measure->ended < NS_PER_S;
}

void measure_ask_any(struct measure *measure,
		     void (*done)(struct monitor *monitor, uint64_t ticket), uint64_t ticket)
{
	if (measure->running && measure->now_count < MEASURE_WAITING_MAX)
		measure->now[measure->now_count++] = (struct measure_waiting){done, ticket};
	else
		measure_ask(measure, done, ticket);
}
