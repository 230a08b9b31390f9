/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine: owns all parts of a guest, builds them in the order of the table in machine.c, runs
 * the guest, and tears everything down in reverse order. A process can have several machines. The
 * monitor uses the machine, which does not know the monitor.
 *
 * Thread: main for all functions, unless stated otherwise; it runs machine->loop. Each vCPU has a
 * thread of its own, each virtio device a worker.
 */
#ifndef EBB_MACHINE_H
#define EBB_MACHINE_H

#include <stdatomic.h>
#include <stdint.h>

#include "devices/serial/serial.h"
#include "vmm/arch/arch.h"
#include "devices/bus.h"
#include "vmm/config/config.h"
#include "vmm/console/console.h"
#include "vmm/machine/cpus.h"
#include "vmm/machine/device.h"
#include "devices/virtio-pmem/region.h"
#include "vmm/kvm/vm.h"
#include "vmm/lib/loop.h"
#include "vmm/mem/ram.h"
#include "vmm/machine/panic.h"
#include "vmm/machine/restored_file.h"
#include "vmm/machine/signals.h"

/* Why the machine stopped. The first reason is kept. */
enum machine_end {
	MACHINE_RUNS,
	MACHINE_POWEROFF,    /* the guest powered off */
	MACHINE_RESET,	     /* the guest rebooted */
	MACHINE_STOPPED,     /* by a signal, the terminal's end or the escape key */
	MACHINE_QUIT,	     /* by a client of the control socket */
	MACHINE_RESTART,     /* a client asked for a reset: the guest restarts when ebb does */
	MACHINE_PANIC,	     /* the guest's kernel reported a panic */
	MACHINE_CRASHED,     /* a vCPU or the main loop failed */
	MACHINE_NOT_STARTED, /* its threads could not be started as configured */
};

struct live;
struct track;

struct machine {
	const struct vm_config *config;
	unsigned int built; /* stages whose init() was called */
	_Atomic enum machine_end end;
	bool hangs;	    /* a device's worker did not end */
	bool starts_paused; /* set by machine_boot(), of a snapshot: machine_run() does not let it run */
	int pagemap;	    /* until the RAM has it, or -1: see vmm/mem/present.h */

	struct vm vm;
	struct ram ram;
	struct restored_file restored_file;
	struct live *live;		 /* while it is sent as it runs, or NULL: the saver's */
	struct track *track;		 /* while what it writes is tracked, or NULL: likewise */
	struct boot_file kernel, initrd; /* open until they are loaded */
	struct restoring *restoring;	 /* or a snapshot, until it is restored: see save.h */
	struct pmem_region pmem[VM_PMEMS_MAX];
	struct bus pio, mmio;
	struct loop loop;
	struct signals signals;
	struct panic panic;
	struct console console;
	struct serial_host serial_host;
	struct serial serial;
	struct arch_platform platform;
	struct device_list devices;
	struct cpus_host cpus_host;
	struct cpus cpus;
};

/*
 * Clears @machine, and opens for it what the process may not open any more once it is closed to others (vmm/sandbox).
 * Call it before machine_init(), and machine_release() in any case.
 */
void machine_prepare(struct machine *machine);

/*
 * After machine_prepare(). @config must outlive the machine. Returns 0, or -errno after an error message. Call
 * machine_release() in both cases.
 */
int machine_init(struct machine *machine, const struct vm_config *config);
/*
 * Returns false if a device's worker hangs in the host, for example in a read from a disk: then
 * only the terminal has been restored, and all else must stay until the process ends.
 */
bool machine_release(struct machine *machine);

/* Stops the machine for the reason @end, unless it already has a reason. Thread: any. */
void machine_stop(struct machine *machine, enum machine_end end);

/*
 * Starts the threads, each of which enters @guard; vCPUs wait then for machine_run(). The guest does not run yet. If it
 * fails, it prints an error message, and machine_run() returns MACHINE_NOT_STARTED.
 */
void machine_start(struct machine *machine, const struct worker_guard *guard);

/*
 * Has this thread, the last, enter @guard, too, unless it is NULL; then loads the guest's kernel, or restores the
 * snapshot: what is in these files is a stranger's. It may fail as machine_start() does.
 */
void machine_boot(struct machine *machine, const struct worker_guard *guard);

/*
 * Lets the guest run, unless it starts paused, and runs the loop until it ends. Returns the reason (never
 * MACHINE_RUNS), after an error message if it is a failure. Then no vCPU runs, and only a worker
 * that hangs may still run.
 */
enum machine_end machine_run(struct machine *machine);

#endif
