// SPDX-License-Identifier: Apache-2.0
/*
 * ebb run: start a guest, be its console, end with it. The one place that knows machine and monitor:
 * a name, a machine of that name, a monitor on the machine, then the sandbox; torn down in reverse.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "vmm/cmd/cmd.h"
#include "vmm/config/config.h"
#include "vmm/control/runtime.h"
#include "vmm/lib/fatal.h"
#include "vmm/lib/guest_name.h"
#include "vmm/lib/log.h"
#include "vmm/machine/machine.h"
#include "vmm/machine/signals.h"
#include "vmm/monitor/monitor.h"
#include "vmm/sandbox/sandbox.h"

static int status_of(enum machine_end end)
{
	switch (end) {
	case MACHINE_NOT_STARTED:
		return EXIT_NOT_STARTED;
	case MACHINE_PANIC:
	case MACHINE_CRASHED:
		return EXIT_GUEST_FAILED;
	default:
		return EXIT_DONE;
	}
}

/*
 * The guest's whole life under a name that is held. Returns what to exit with; *@fatal is the signal to die
 * of instead, or 0.
 */
static int run(const struct vm_config *config, struct runtime_name *name, int *fatal)
{
	struct machine *machine = malloc(sizeof(*machine));
	struct monitor *monitor = malloc(sizeof(*monitor));
	int status = EXIT_NOT_STARTED;

	if (!machine || !monitor) {
		log_error("no memory for a machine");
		goto out;
	}
	if (machine_init(machine, config) != 0)
		goto out;
	/* The sandbox comes last: no thread runs yet, and nothing more is opened. */
	if (monitor_init(monitor, machine, name) == 0 && sandbox_enter() == 0) {
		enum machine_end end = machine_run(machine);
		monitor_ended(monitor, end);
		status = status_of(end);
		*fatal = machine->signals.fatal;
	}
	/* Where a thread hangs in the host, what it uses stays until it ends with the process. */
	if (!monitor_release(monitor))
		machine->hangs = true;
	if (!machine_release(machine))
		return status;
out:
	free(monitor);
	free(machine);
	return status;
}

/* A process that dies of a fault leaves nothing behind either. */
static void forget_name(void *name)
{
	runtime_release(name);
}

int cmd_run(int argc, char **argv)
{
	struct vm_config config = {0};
	struct runtime_name name;
	char error[512];
	char own[VM_NAME_MAX];

	switch (config_parse(&config, argc - 1, argv + 1, error, sizeof(error))) {
	case CONFIG_HELP:
		config_usage(stdout);
		return EXIT_DONE;
	case CONFIG_ERROR:
		log_error("%s", error);
		return EXIT_NOT_STARTED;
	case CONFIG_RUN:
		break;
	}
	if (!config.machine.name) {
		snprintf(own, sizeof(own), "guest-%d", getpid());
		config.machine.name = own;
	}
	int status = EXIT_NOT_STARTED;
	int fatal = 0;
	/* First, so that from here on no signal ends ebb with something left behind. */
	if (signals_hold() == 0 && runtime_claim(&name, config.machine.name) == 0) {
		struct fatal_undo forget = {forget_name, &name, NULL};
		fatal_undo_add(&forget);
		status = run(&config, &name, &fatal);
		fatal_undo_remove(&forget);
		runtime_release(&name);
	}
	signals_die(fatal);
	return status;
}
