// SPDX-License-Identifier: Apache-2.0
/*
 * ebb run: starts a guest, serves as its console, and ends with it. Only this file knows both the
 * machine and the monitor. It claims a name, makes the machine and its monitor, enters the sandbox,
 * and tears down in reverse.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/cgroup/cgroup.h"
#include "vmm/cmd/admit.h"
#include "vmm/cmd/cmd.h"
#include "vmm/cmd/run.h"
#include "vmm/cmd/run_boot.h"
#include "vmm/cmd/run_disks.h"
#include "vmm/cmd/run_ssh.h"
#include "vmm/config/config.h"
#include "vmm/control/runtime.h"
#include "vmm/detach/detach.h"
#include "vmm/detach/log_writer.h"
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

/* For clients: what is in force. */
static const char *sandbox_word(bool confined, const struct sandbox *sandbox)
{
	return !confined ? "off" : sandbox->has_namespaces ? "on" : "no namespaces";
}

/*
 * Starts the threads, none of which can start another; this one gives up most, last of all, and reads kernel or snapshot
 * then.
 */
static void start(struct machine *machine, struct monitor *monitor,
		  const struct worker_guard *guard)
{
	machine_start(machine, guard);
	if (monitor_start(monitor, guard) != 0)
		machine_stop(machine, MACHINE_NOT_STARTED);
	machine_boot(machine, guard);
	if (!machine->starts_paused || atomic_load(&machine->end) != MACHINE_RUNS)
		return;
	monitor_start_paused(monitor);
	log_info("paused, as it was saved; \"ebb resume -n %s\" lets it run",
		 machine->config->machine.name);
}

/* Before anything of the guest takes memory, and before what serves its devices is started. */
static int enter_cgroup(struct vm_config *config)
{
	struct vm_cgroup *cgroup = &config->cgroup;
	const struct cgroup_limits limits = {.memory = cgroup->memory, .cpu = cgroup->cpu};
	char whole[PATH_MAX];

	if (!cgroup->wanted || cgroup->entered)
		return 0;
	if (cgroup->automatic && cgroup_find(cgroup->path) != 0) {
		log_error(
			"--cgroup auto finds no cgroup that is delegated to this user: start ebb by \"systemd-run --user --scope -p MemoryMax=...\" without --cgroup, or name one");
		return -ENOENT;
	}
	/* Clients are told of it, wherever they are. */
	if (realpath(cgroup->path, whole))
		memcpy(cgroup->path, whole, sizeof(whole));
	return cgroup_enter(cgroup->path, config->machine.name, &limits);
}

/* After enter_cgroup(), so that it is in the guest's. */
static int start_log_writer(struct log_writer *writer, struct vm_console *console)
{
	int error = console->file ? log_writer_start(writer, console->file) : 0;

	console->file_fd = writer->fd;
	return error;
}

/*
 * Runs the guest from start to end under @name, which is held. Returns the exit status; sets
 * *@fatal to the signal to die of instead, or to 0.
 */
static int run(struct vm_config *config, struct runtime_name *name, struct detach *detach,
	       int *fatal)
{
	struct machine *machine = malloc(sizeof(*machine));
	struct monitor *monitor = malloc(sizeof(*monitor));
	struct run_boot boot = RUN_BOOT_NONE;
	struct run_disks disks = RUN_DISKS_NONE;
	struct log_writer writer = LOG_WRITER_NONE;
	enum vm_sandbox wanted = config->machine.sandbox;
	bool confined = wanted != VM_SANDBOX_OFF;
	struct sandbox sandbox = SANDBOX_NONE;
	int status = EXIT_NOT_STARTED;

	/* Threads rarely allocate; a heap of its own would cost each two mappings and 20 KiB. */
	mallopt(M_ARENA_MAX, 1);
	if (!machine || !monitor) {
		log_error("out of memory");
		goto out;
	}
	if (admit_guest(config) != 0 || enter_cgroup(config) != 0 ||
	    start_log_writer(&writer, &config->console) != 0)
		goto out;
	machine_prepare(machine);
	if ((confined && sandbox_begin(&sandbox, name->directory) != 0) ||
	    run_ssh_prepare(config, name) != 0 || run_boot_init(&boot, config) != 0 ||
	    run_disks_init(&disks, config) != 0 || machine_init(machine, config) != 0 ||
	    run_disks_check(&disks, config) != 0) {
		machine_release(machine);
		goto out;
	}
	/* The machine has opened or copied the files. */
	run_boot_release(&boot);
	/* Enter the sandbox last: no thread runs yet, and no more files are opened. */
	bool detached = detach->ready >= 0;
	int console = -1;
	if (monitor_init(monitor, machine, name) == 0 &&
	    (!detached || (console = runtime_listen_console(name)) >= 0) &&
	    (!confined || sandbox_enter(&sandbox, wanted == VM_SANDBOX_REQUIRE) == 0)) {
		monitor->sandbox = sandbox_word(confined, &sandbox);
		start(machine, monitor, confined ? &sandbox.guard : NULL);
		if (detached && atomic_load(&machine->end) == MACHINE_RUNS)
			detach_ready(detach, console);
		enum machine_end end = machine_run(machine);
		monitor_ended(monitor, end);
		status = status_of(end);
		*fatal = machine->signals.fatal;
	}
	/* If a thread hangs in the host, the memory it uses must stay until the process ends. */
	if (!monitor_release(monitor))
		machine->hangs = true;
	if (!machine_release(machine))
		return status;
out:
	sandbox_release(&sandbox);
	run_boot_release(&boot);
	run_disks_release(&disks);
	log_writer_end(&writer);
	free(monitor);
	free(machine);
	return status;
}

/* Removes the name's files, too, if the process dies of a fault. */
static void forget_name(void *name)
{
	runtime_release(name);
}

/* Goes on in a process of its own. Returns 1 there, and 0 in the caller's, with its exit status set. */
static int go_to_background(struct detach *detach, const struct vm_config *config, int *status)
{
	const char *name = config->machine.name;
	int where = detach_start(detach, name, config->console.log);

	if (where == 1)
		return 1;
	*status = where < 0 ? EXIT_NOT_STARTED : detach->status;
	if (*status == EXIT_DONE) {
		if (name)
			puts(name);
		else
			printf("guest-%d\n", detach->guest);
	}
	return 0;
}

/* Runs the guest under its name, or one made for it. */
static int run_named(struct vm_config *config, struct detach *detach)
{
	struct runtime_name name;
	char own[VM_NAME_MAX];
	int status = EXIT_NOT_STARTED;
	int fatal = 0;

	if (!config->machine.name) {
		snprintf(own, sizeof(own), "guest-%d", getpid());
		config->machine.name = own;
	}
	/* Hold signals first: from here on no signal can end ebb and leave files behind. */
	if (signals_hold() == 0 && runtime_claim(&name, config->machine.name) == 0) {
		struct fatal_undo forget = {forget_name, &name, NULL};
		fatal_undo_add(&forget);
		status = run(config, &name, detach, &fatal);
		fatal_undo_remove(&forget);
		runtime_release(&name);
	}
	signals_die(fatal);
	return status;
}

int run_guest(struct vm_config *config)
{
	struct detach none = DETACH_NONE;
	return run_named(config, &none);
}

/*
 * A snapshot that comes by standard input is not for the guest's console: that has no input then. With --detach it has
 * another standard input in any case. Returns 0, or -1 after an error message.
 */
static int take_stream(struct vm_boot *boot)
{
	if (!boot->restore || strcmp(boot->restore, "-") != 0)
		return 0;
	if (isatty(STDIN_FILENO)) {
		log_error("no snapshot comes from a terminal: \"ebb snapshot -n NAME - | ebb run "
			  "--restore - ...\"");
		return -1;
	}
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	boot->restore_fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (null < 0 || boot->restore_fd < 0 || dup2(null, STDIN_FILENO) < 0) {
		log_error("cannot read a snapshot from standard input: %s", strerror(errno));
		return -1;
	}
	close(null);
	return 0;
}

/* Before the guest has a name, a log or a terminal: this process may become another, and come back. Returns 0 or -errno. */
static int choose_cgroup(struct vm_config *config, char **argv)
{
	struct vm_cgroup *cgroup = &config->cgroup;
	const struct cgroup_limits limits = {.memory = cgroup->memory, .cpu = cgroup->cpu};
	bool is_in_scope = cgroup_is_in_scope();
	char path[PATH_MAX];

	if (!cgroup->automatic || (!is_in_scope && cgroup_find(path) == 0))
		return 0;
	int error = cgroup_scope(argv, config->machine.name, is_in_scope, &limits, cgroup->path);
	cgroup->entered = !error;
	return error;
}

int cmd_run(int argc, char **argv)
{
	struct vm_config config;
	struct detach detach = DETACH_NONE;
	char error[512];
	int status = EXIT_NOT_STARTED;

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
	if (choose_cgroup(&config, argv) != 0 || take_stream(&config.boot) != 0)
		return EXIT_NOT_STARTED;
	if (config.console.detach && !go_to_background(&detach, &config, &status))
		return status;
	return run_named(&config, &detach);
}
