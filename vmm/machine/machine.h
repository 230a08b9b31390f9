/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine: owns everything a guest consists of, builds it in one visible order (the table in
 * machine.c), runs it, tears it down in reverse. Several can live in one process. It knows nothing
 * of who looks at it: the monitor stands on it, not within.
 *
 * Threads: main calls what is declared here, unless it says otherwise, and serves machine->loop; each
 * vCPU has a thread; each virtio device has a worker.
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
#include "vmm/kvm/vm.h"
#include "vmm/lib/loop.h"
#include "vmm/mem/ram.h"
#include "vmm/machine/signals.h"

/* Why the machine stopped. The first reason counts. */
enum machine_end {
	MACHINE_RUNS,
	MACHINE_POWEROFF,    /* the guest powered off */
	MACHINE_RESET,	     /* the guest rebooted */
	MACHINE_STOPPED,     /* a person did it: a signal, the terminal's end, the escape key */
	MACHINE_QUIT,	     /* a client of the control socket did it */
	MACHINE_RESTART,     /* a client asked for a reset: the guest starts anew when ebb does */
	MACHINE_PANIC,	     /* the guest's kernel panicked and said so */
	MACHINE_CRASHED,     /* a vCPU could not go on */
	MACHINE_NOT_STARTED, /* its threads could not be started as it was asked for */
};

struct machine {
	const struct vm_config *config;
	unsigned int built; /* stages of the table that were begun */
	_Atomic enum machine_end end;
	bool hangs; /* a worker does not end */

	struct vm vm;
	struct ram ram;
	struct bus pio, mmio;
	struct loop loop;
	struct signals signals;
	struct console console;
	struct serial_host serial_host;
	struct serial serial;
	struct arch_platform platform;
	struct device_list devices;
	struct cpus_host cpus_host;
	struct cpus cpus;
};

/* @config outlives the machine. Returns 0, or -errno having said why, with nothing left behind. */
int machine_init(struct machine *machine, const struct vm_config *config);
/*
 * Returns false where a device's worker hangs in the host, in a read of a disk for example: then the terminal
 * is restored, and all else has to stay until the process ends.
 */
bool machine_release(struct machine *machine);

/* The machine has @end to stop for; any thread. A later reason changes nothing. */
void machine_stop(struct machine *machine, enum machine_end end);

/*
 * Starts the threads and serves the loop until the guest's end. Returns why it ended (not MACHINE_RUNS),
 * having said what went wrong. Afterwards no thread of the machine's runs.
 */
enum machine_end machine_run(struct machine *machine);

#endif
