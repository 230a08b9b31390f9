/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures figures that can take the host long: the page tables of a large guest (15 ms a GiB), a
 * disk on storage that hangs. A worker does it, so that the loop goes on meanwhile; callbacks come
 * on the loop.
 *
 * Owner: struct monitor. Thread: main, which runs the loop, for all declared here.
 */
#ifndef EBB_MONITOR_MEASURE_H
#define EBB_MONITOR_MEASURE_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/monitor/job.h"

/* Each client of either control socket can wait for one measurement, and a reclaim request for another. */
#define MEASURE_WAITING_MAX 64

struct monitor;

struct measure_waiting {
	void (*done)(struct monitor *monitor, uint64_t ticket);
	uint64_t ticket;
};

struct measure {
	struct monitor *monitor;
	struct job job;
	bool running;	/* the worker measures, or is about to */
	uint64_t ended; /* the last measurement, by clock_ns(); 0: there was none */
	/* Called when the running measurement is done; next: after the measurement that follows. */
	struct measure_waiting now[MEASURE_WAITING_MAX], next[MEASURE_WAITING_MAX];
	unsigned int now_count, next_count;
};

/* Returns 0, or -errno after an error message. Call measure_release() in both cases. */
int measure_init(struct measure *measure, struct monitor *monitor);
/*
 * Drops the callbacks and waits for the worker, up to a second. Returns false if it hangs: then
 * everything that the parts measure must stay until the process ends.
 */
bool measure_release(struct measure *measure);

/*
 * Starts the thread, before the guest runs: later none can be started. Returns 0, or -errno after an
 * error message.
 */
int measure_start(struct measure *measure, const struct worker_guard *guard);

/*
 * Call before measure_ask(). Returns 0, or -EBUSY if too many callers wait: then do not call
 * measure_ask().
 */
int measure_prepare(struct measure *measure);

/* Starts measure() of all parts after this call, and calls @done with @ticket when all are done. */
void measure_ask(struct measure *measure, void (*done)(struct monitor *monitor, uint64_t ticket),
		 uint64_t ticket);

/*
 * For those who may not have ebb measure as often as they like. Returns whether the last measurement is younger than a
 * second, and its figures may be read now.
 */
bool measure_is_fresh(const struct measure *measure);
/* As measure_ask(), but a measurement that runs already will do. */
void measure_ask_any(struct measure *measure,
		     void (*done)(struct monitor *monitor, uint64_t ticket), uint64_t ticket);

#endif
