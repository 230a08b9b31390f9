/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands that clients of the control socket can use on a machine: QMP's, with QEMU's names
 * and meanings, and ebb's own (control/README.md lists them). The monitor uses the machine, which
 * does not know the monitor. Its parts, one file each, are the rows of a table in monitor.c.
 *
 * Thread: main.
 */
#ifndef EBB_MONITOR_H
#define EBB_MONITOR_H

#include "vmm/control/read_only.h"
#include "vmm/control/runtime.h"
#include "vmm/control/server.h"
#include "vmm/machine/machine.h"
#include "vmm/monitor/measure.h"
#include "vmm/monitor/saver.h"

#define MONITOR_PARTS_MAX 16

struct monitor {
	struct machine *machine;
	struct control_server *server;
	struct read_only read_only;	  /* the server's second door */
	struct control_command *commands; /* of all parts; owned */
	void *state[MONITOR_PARTS_MAX];	  /* of each part, in the order of the table; owned */
	struct measure measure;
	struct saver saver;
	unsigned int built;  /* parts whose init() was called */
	const char *sandbox; /* "on", "no namespaces" or "off"; set before monitor_start() */
	bool paused;	     /* by a client, or while it is saved; the life part alone writes it */
};

/*
 * Serves the control socket of @name, and the one that only reads, on the machine's loop; the machine outlives the monitor.
 * Returns 0, or -errno after an error message. Call monitor_release() in both cases.
 */
int monitor_init(struct monitor *monitor, struct machine *machine, struct runtime_name *name);
/*
 * Returns false if a measurement or a thread of the machine hangs: then the monitor and the machine
 * must stay until the process ends.
 */
bool monitor_release(struct monitor *monitor);

/*
 * Starts the monitor's threads, which enter @guard. Call before the guest runs. Returns 0, or -errno
 * after an error message.
 */
int monitor_start(struct monitor *monitor, const struct worker_guard *guard);

/* Notes that the guest starts paused, which it is until a client resumes it. Call after machine_boot(). */
void monitor_start_paused(struct monitor *monitor);

/* Tells the clients why the machine ended. Call after its threads have ended. */
void monitor_ended(struct monitor *monitor, enum machine_end end);

#endif
