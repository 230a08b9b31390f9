/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What clients of the control socket can do with a machine: QMP's commands, by QEMU's names and with
 * QEMU's meanings, and ebb's own (control/README.md lists them). It stands on the machine, which knows
 * nothing of it. Its parts, one file each, are the rows of a table in monitor.c.
 *
 * Thread: main.
 */
#ifndef EBB_MONITOR_H
#define EBB_MONITOR_H

#include "vmm/control/runtime.h"
#include "vmm/control/server.h"
#include "vmm/machine/machine.h"
#include "vmm/monitor/measure.h"

#define MONITOR_PARTS_MAX 16

struct monitor {
	struct machine *machine;
	struct control_server *server;
	struct control_command *commands; /* of all parts; owned */
	void *state[MONITOR_PARTS_MAX];	  /* each part's, in the order of the table; owned */
	struct measure measure;
	unsigned int built; /* parts whose init was begun */
	bool paused;	    /* by a client: set by the life part, for all to read */
};

/* The socket of @name, served on the machine's loop. Returns 0 or -errno having said why; then too
 * monitor_release() is due. */
int monitor_init(struct monitor *monitor, struct machine *machine, struct runtime_name *name);
/*
 * Returns false where the host still has not told what it was asked for long ago: then the monitor and
 * the machine have to stay until the process ends.
 */
bool monitor_release(struct monitor *monitor);

/* Tells the clients why the machine ended. Its threads do not run any more. */
void monitor_ended(struct monitor *monitor, enum machine_end end);

#endif
