// SPDX-License-Identifier: Apache-2.0
/* The guest's life: its name, its state, its end. */
#include <stdio.h>
#include <unistd.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/json.h"
#include "vmm/monitor/part.h"

struct life {
	uint64_t started; /* clock_ns() */
};

static int life_init(struct monitor *monitor)
{
	struct life *life = monitor_state(monitor, &monitor_life);
	life->started = clock_ns();
	return 0;
}

const char *monitor_status(const struct monitor *monitor)
{
	return monitor->paused ? "paused" : "running";
}

static void life_figures(struct monitor *monitor, json_t *stat)
{
	const struct life *life = monitor_state(monitor, &monitor_life);
	const struct vm_config *config = monitor->machine->config;

	json_object_set_new(stat, "name", json_text(config->machine.name));
	json_object_set_new(stat, "pid", json_integer(getpid()));
	json_object_set_new(stat, "status", json_string(monitor_status(monitor)));
	json_object_set_new(stat, "uptime",
			    json_real((double)(clock_ns() - life->started) / NS_PER_S));
	json_object_set_new(stat, "sandbox", json_string(monitor->sandbox));
	json_object_set_new(stat, "cpus", json_integer(config->machine.cpus));
	json_object_set_new(stat, "weight", json_integer(config->machine.weight));
	if (config->cgroup.wanted)
		json_object_set_new(stat, "cgroup", json_text(config->cgroup.path));
}

static json_t *query_name(void *ctx, const json_t *arguments, struct control_error *error)
{
	const struct monitor *monitor = ctx;
	(void)arguments, (void)error;
	return json_pack("{s:o}", "name", json_text(monitor->machine->config->machine.name));
}

static json_t *query_status(void *ctx, const json_t *arguments, struct control_error *error)
{
	const struct monitor *monitor = ctx;
	(void)arguments, (void)error;
	return json_pack("{s:s, s:b, s:b}", "status", monitor_status(monitor), "running",
			 !monitor->paused, "singlestep", 0);
}

static json_t *query_cpus_fast(void *ctx, const json_t *arguments, struct control_error *error)
{
	const struct monitor *monitor = ctx;
	const struct cpus *cpus = &monitor->machine->cpus;
	json_t *list = json_array();
	(void)arguments, (void)error;

	for (unsigned int i = 0; i < cpus->count; i++) {
		char path[64];
		snprintf(path, sizeof(path), "/machine/unattached/device[%u]", i);
		json_array_append_new(list, json_pack("{s:i, s:s, s:i, s:s, s:{}}", "cpu-index", i,
						      "qom-path", path, "thread-id",
						      atomic_load(&cpus->cpu[i].thread.tid),
						      "target", arch_map.name, "props"));
	}
	return list;
}

bool monitor_pause(struct monitor *monitor)
{
	if (monitor->paused)
		return false;
	cpus_pause(&monitor->machine->cpus);
	devices_hold(&monitor->machine->devices, true);
	monitor->paused = true;
	monitor_event(monitor, "STOP", NULL);
	return true;
}

void monitor_start_paused(struct monitor *monitor)
{
	devices_hold(&monitor->machine->devices, true);
	monitor->paused = true;
}

bool monitor_resume(struct monitor *monitor)
{
	if (!monitor->paused)
		return false;
	monitor->paused = false;
	devices_hold(&monitor->machine->devices, false);
	cpus_resume(&monitor->machine->cpus);
	monitor_event(monitor, "RESUME", NULL);
	return true;
}

/* While the guest stands still to be saved it stays paused, and these decide what it does afterwards. */
static json_t *stop(void *ctx, const json_t *arguments, struct control_error *error)
{
	struct monitor *monitor = ctx;
	(void)arguments, (void)error;
	if (monitor->saver.stands)
		monitor->saver.resume = false;
	else
		monitor_pause(monitor);
	return json_object();
}

static json_t *cont(void *ctx, const json_t *arguments, struct control_error *error)
{
	struct monitor *monitor = ctx;
	(void)arguments;
	if (monitor->saver.stands && saver_moves(&monitor->saver)) {
		control_fail_as(error, "GuestBusy",
				"it is being moved: resume it afterwards, if it does not run "
				"elsewhere");
		return NULL;
	}
	if (monitor->saver.stands)
		monitor->saver.resume = true;
	else
		monitor_resume(monitor);
	return json_object();
}

static json_t *quit(void *ctx, const json_t *arguments, struct control_error *error)
{
	struct monitor *monitor = ctx;
	(void)arguments, (void)error;
	machine_stop(monitor->machine, MACHINE_QUIT);
	return json_object();
}

static json_t *system_reset(void *ctx, const json_t *arguments, struct control_error *error)
{
	struct monitor *monitor = ctx;
	(void)arguments, (void)error;
	machine_stop(monitor->machine, MACHINE_RESTART);
	return json_object();
}

static json_t *system_powerdown(void *ctx, const json_t *arguments, struct control_error *error)
{
	struct monitor *monitor = ctx;
	(void)arguments, (void)error;
	arch_power_button(&monitor->machine->platform);
	monitor_event(monitor, "POWERDOWN", NULL);
	return json_object();
}

static void life_ended(struct monitor *monitor, enum machine_end end)
{
	static const struct {
		const char *reason;
		bool guest;
	} ends[] = {
		[MACHINE_POWEROFF] = {"guest-shutdown", true},
		[MACHINE_RESET] = {"guest-reset", true},
		[MACHINE_STOPPED] = {"host-signal", false},
		[MACHINE_QUIT] = {"host-qmp-quit", false},
		[MACHINE_RESTART] = {"host-qmp-system-reset", false},
		[MACHINE_PANIC] = {"guest-panic", true},
		[MACHINE_CRASHED] = {"host-error", false},
		[MACHINE_NOT_STARTED] = {"host-error", false},
	};
	if (end == MACHINE_RESET || end == MACHINE_RESTART)
		monitor_event(monitor, "RESET",
			      json_pack("{s:b, s:s}", "guest", ends[end].guest, "reason",
					ends[end].reason));
	monitor_event(
		monitor, "SHUTDOWN",
		json_pack("{s:b, s:s}", "guest", ends[end].guest, "reason", ends[end].reason));
}

static const struct control_command commands[] = {
	{"query-name", CONTROL_READS, query_name},
	{"query-status", CONTROL_READS, query_status},
	{"query-cpus-fast", CONTROL_READS, query_cpus_fast},
	{"stop", CONTROL_ACTS, stop},
	{"cont", CONTROL_ACTS, cont},
	{"quit", CONTROL_ACTS, quit},
	{"system_reset", CONTROL_ACTS, system_reset},
	{"system_powerdown", CONTROL_ACTS, system_powerdown},
	{},
};

const struct monitor_part monitor_life = {
	.name = "life",
	.commands = commands,
	.state_size = sizeof(struct life),
	.init = life_init,
	.ended = life_ended,
	.figures = life_figures,
};
