/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking at what the host may take its time to tell: the page tables of a large guest (15 ms a GiB), a
 * disk on a storage that hangs. It is done on a thread of its own, so that the loop goes on meanwhile;
 * who asks is called back on the loop.
 *
 * Thread: main, which is the loop's, for all that is declared here.
 */
#ifndef EBB_MONITOR_MEASURE_H
#define EBB_MONITOR_MEASURE_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/lib/loop.h"
#include "vmm/lib/worker.h"

/* Each client of the server can wait for one, and a request of the balloon's for another. */
#define MEASURE_WAITING_MAX 32

struct monitor;

struct measure_waiting {
	void (*done)(struct monitor *monitor, uint64_t ticket);
	uint64_t ticket;
};

struct measure {
	struct monitor *monitor;
	struct worker worker;
	struct loop_source wanted; /* eventfd, on the worker */
	struct loop_source done;   /* eventfd, on the loop */
	bool running;		   /* the worker looks, or is about to */
	/* To be called back when it has looked; those in next when it has looked once more. */
	struct measure_waiting now[MEASURE_WAITING_MAX], next[MEASURE_WAITING_MAX];
	unsigned int now_count, next_count;
};

/* Returns 0 or -errno having said why; measure_release() is due in both cases. */
int measure_init(struct measure *measure, struct monitor *monitor);
/*
 * Nobody is called back any more. Waits for the worker, up to a second. Returns false where it hangs: then
 * all that parts measure has to stay until the process ends.
 */
bool measure_release(struct measure *measure);

/*
 * Returns 0 where measure_ask() may be called, or -errno: -EBUSY where too many wait, another where the
 * thread cannot be started.
 */
int measure_prepare(struct measure *measure);

/* Has all parts measure(), beginning after this was called, and then calls @done with @ticket. */
void measure_ask(struct measure *measure, void (*done)(struct monitor *monitor, uint64_t ticket),
		 uint64_t ticket);

#endif
