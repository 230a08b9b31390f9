// SPDX-License-Identifier: Apache-2.0
/* ebb run: start a guest, be its console, end with it. */
#include <stdio.h>
#include <unistd.h>

#include "vmm/cmd/cmd.h"
#include "vmm/config/config.h"
#include "vmm/machine/machine.h"
#include "vmm/lib/log.h"

int cmd_run(int argc, char **argv)
{
	struct vm_config config = {0};
	char error[512];

	switch (config_parse(&config, argc - 1, argv + 1, error, sizeof(error))) {
	case CONFIG_HELP:
		config_usage(stdout);
		return 0;
	case CONFIG_ERROR:
		log_error("%s", error);
		return EXIT_NOT_STARTED;
	case CONFIG_RUN:
		break;
	}

	char name[VM_NAME_MAX];
	if (!config.name) {
		snprintf(name, sizeof(name), "guest-%d", getpid());
		config.name = name;
	}

	struct machine machine;
	if (machine_init(&machine, &config) != 0)
		return EXIT_NOT_STARTED;
	enum machine_end end = machine_run(&machine);
	machine_release(&machine);
	if (end == MACHINE_NOT_STARTED)
		return EXIT_NOT_STARTED;
	return end == MACHINE_PANIC || end == MACHINE_CRASHED ? EXIT_GUEST_FAILED : 0;
}
