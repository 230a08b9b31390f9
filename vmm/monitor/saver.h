/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saves the guest on a thread of its own, so that the loop goes on meanwhile, to a socket that a client passed. ebb
 * itself may open and write no file (vmm/sandbox): that is the client's part.
 *
 * Owner: struct monitor. Thread: main, which runs the loop, for all declared here.
 */
#ifndef EBB_MONITOR_SAVER_H
#define EBB_MONITOR_SAVER_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/lib/why.h"
#include "vmm/monitor/job.h"
#include "vmm/snapshot/stream.h"

struct monitor;
struct machine;

/* What is saved: machine_save(), or working_set_save(). */
typedef int (*saver_what)(struct machine *machine, struct snapshot_writer *writer, uint64_t *pages,
			  struct why *why);

struct saver {
	struct monitor *monitor;
	struct job job;
	bool saves;  /* from saver_begin() or saver_drop() to the call of @saved */
	bool stands; /* the guest stands still for it, */
	bool resume; /* and goes on afterwards; */
	bool after;  /* it does, and its writes need not be logged any more */
	/* Before saver_begin(). Downtime: ns that a guest may stand still that is saved while it runs; or 0. */
	bool sparse, increment, track;
	bool stays; /* saved while it runs, it goes on here */
	bool disks; /* the client copies them meanwhile */
	uint64_t downtime;
	void (*saved)(struct monitor *monitor, uint64_t ticket);
	uint64_t ticket;
	/* The worker's, while it saves. */
	saver_what what; /* NULL: nothing; the last one is dropped */
	int socket;
	int error; /* afterwards: 0, or -errno with @why set */
	struct why why;
	struct snapshot_writer writer;
	uint64_t pages;	       /* written */
	uint64_t since, stood; /* clock_ns() when it was stopped; ns that it stood still */
};

/* Returns whether the guest is to go on elsewhere. */
static inline bool saver_moves(const struct saver *saver)
{
	return saver->downtime && !saver->stays;
}

/* Returns 0, or -errno after an error message. Call saver_release() in both cases. */
int saver_init(struct saver *saver, struct monitor *monitor);
/*
 * Waits for the worker up to a second; a machine that has ended ends what it does. Returns false if it hangs: then
 * the monitor and the machine must stay until the process ends.
 */
bool saver_release(struct saver *saver);
/* Starts the thread, before the guest runs. Returns 0, or -errno after an error message. */
int saver_start(struct saver *saver, const struct worker_guard *guard);

/*
 * Saves @what of the guest to @socket, which is the saver's from now on; then calls @saved with @ticket. The guest is paused for it:
 * for a working set at once, for machine_save() when its disks were flushed, and, if @saver->downtime, for the last part. It goes on
 * then, unless it was paused before, or moves. If it moves, or if @saver->disks, without error only if the client has committed to it, while the guest stands still: it finds
 * the end of the stream, and sends a byte of 0; others before it say that it is busy. Not while it saves.
 */
void saver_begin(struct saver *saver, saver_what what, int socket,
		 void (*saved)(struct monitor *monitor, uint64_t ticket), uint64_t ticket);
/* The last one is not kept: see track_saved(). Then calls @dropped with @ticket. The guest runs on. Not while it saves. */
void saver_drop(struct saver *saver, void (*dropped)(struct monitor *monitor, uint64_t ticket),
		uint64_t ticket);

#endif
