// SPDX-License-Identifier: Apache-2.0
#include "vmm/monitor/monitor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/machine/machine.h"

/* --- what is going on ------------------------------------------------------------------------ */

const json_t *monitor_integer(const json_t *arguments, const char *name,
			      struct control_error *error)
{
	const json_t *value = json_object_get(arguments, name);
	if (!value)
		control_fail(error, "Parameter '%s' is missing", name);
	else if (!json_is_integer(value))
		control_fail(error, "Invalid parameter type for '%s', expected: integer", name);
	return value && json_is_integer(value) ? value : NULL;
}

const char *monitor_status(const struct monitor *monitor)
{
	return monitor->paused ? "paused" : "running";
}

static json_t *query_name(void *ctx, const json_t *arguments, struct control_error *error)
{
	const struct monitor *monitor = ctx;
	(void)arguments, (void)error;
	return json_pack("{s:s}", "name", monitor->machine->config->name);
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
						      atomic_load(&cpus->cpu[i].tid), "target",
						      arch_map.name, "props"));
	}
	return list;
}

/* --- the machine's life ---------------------------------------------------------------------- */

static json_t *stop(void *ctx, const json_t *arguments, struct control_error *error)
{
	struct monitor *monitor = ctx;
	(void)arguments, (void)error;
	if (!monitor->paused) {
		cpus_pause(&monitor->machine->cpus);
		monitor->paused = true;
		control_server_event(monitor->server, "STOP", NULL);
	}
	return json_object();
}

static json_t *cont(void *ctx, const json_t *arguments, struct control_error *error)
{
	struct monitor *monitor = ctx;
	(void)arguments, (void)error;
	if (monitor->paused) {
		monitor->paused = false;
		cpus_resume(&monitor->machine->cpus);
		control_server_event(monitor->server, "RESUME", NULL);
	}
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
	control_server_event(monitor->server, "POWERDOWN", NULL);
	return json_object();
}

void monitor_ended(struct monitor *monitor)
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
	enum machine_end end = atomic_load(&monitor->machine->end);
	if (end == MACHINE_RESET || end == MACHINE_RESTART)
		control_server_event(monitor->server, "RESET",
				     json_pack("{s:b, s:s}", "guest", ends[end].guest, "reason",
					       ends[end].reason));
	control_server_event(
		monitor->server, "SHUTDOWN",
		json_pack("{s:b, s:s}", "guest", ends[end].guest, "reason", ends[end].reason));
}

/* --- looking into it ------------------------------------------------------------------------- */

/* Runs @look with no vCPU in the guest: KVM lets nobody else at a vCPU that is. */
static void while_paused(struct monitor *monitor, void (*look)(struct cpus *cpus, void *ctx),
			 void *ctx)
{
	struct cpus *cpus = &monitor->machine->cpus;
	if (!monitor->paused)
		cpus_pause(cpus);
	look(cpus, ctx);
	if (!monitor->paused)
		cpus_resume(cpus);
}

static void look_at_registers(struct cpus *cpus, void *ctx)
{
	json_t *list = ctx;
	for (unsigned int i = 0; i < cpus->count; i++) {
		char *text = NULL;
		size_t size = 0;
		FILE *out = open_memstream(&text, &size);
		if (!out)
			return;
		arch_vcpu_registers(&cpus->cpu[i].vcpu, out);
		fclose(out);
		json_array_append_new(list, json_pack("{s:i, s:s}", "cpu-index", i, "text", text));
		free(text);
	}
}

static json_t *registers(void *ctx, const json_t *arguments, struct control_error *error)
{
	json_t *list = json_array();
	(void)arguments, (void)error;
	while_paused(ctx, look_at_registers, list);
	return json_pack("{s:o}", "cpus", list);
}

struct nmi {
	json_int_t cpu; /* -1: all */
	int error;
};

static void send_nmi(struct cpus *cpus, void *ctx)
{
	struct nmi *nmi = ctx;
	for (unsigned int i = 0; i < cpus->count && !nmi->error; i++)
		if (nmi->cpu < 0 || nmi->cpu == i)
			nmi->error = arch_vcpu_nmi(&cpus->cpu[i].vcpu);
}

static json_t *inject_nmi(void *ctx, const json_t *arguments, struct control_error *error)
{
	struct monitor *monitor = ctx;
	struct nmi nmi = {.cpu = -1};

	if (json_object_get(arguments, "cpu-index")) {
		const json_t *index = monitor_integer(arguments, "cpu-index", error);
		if (!index)
			return NULL;
		nmi.cpu = json_integer_value(index);
		if (nmi.cpu < 0 || nmi.cpu >= monitor->machine->cpus.count)
			return control_fail(error, "there is no vCPU %lld; they are 0 to %u",
					    (long long)nmi.cpu, monitor->machine->cpus.count - 1);
	}
	while_paused(monitor, send_nmi, &nmi);
	if (nmi.error == -EOPNOTSUPP)
		return control_fail(error, "a vCPU on %s has no NMI; a sysrq key may do",
				    arch_map.name);
	if (nmi.error)
		return control_fail(error, "KVM takes no NMI: %s", strerror(-nmi.error));
	return json_object();
}

static json_t *sysrq(void *ctx, const json_t *arguments, struct control_error *error)
{
	struct monitor *monitor = ctx;
	const char *key = json_string_value(json_object_get(arguments, "key"));

	if (!key || strlen(key) != 1)
		return control_fail(error, "Parameter 'key' must be one character");
	if (serial_break(&monitor->machine->serial, *key))
		return control_fail(error, "the guest does not listen to its serial console");
	return json_object();
}

static const struct control_command commands[] = {
	{"query-name", query_name},
	{"query-status", query_status},
	{"query-cpus-fast", query_cpus_fast},
	{"stop", stop},
	{"cont", cont},
	{"quit", quit},
	{"system_reset", system_reset},
	{"system_powerdown", system_powerdown},
	{"inject-nmi", inject_nmi},
	{"query-balloon", monitor_query_balloon},
	{"balloon", monitor_balloon},
	{"qom-list", monitor_qom_list},
	{"qom-get", monitor_qom_get},
	{"qom-set", monitor_qom_set},
	{"query-block", monitor_query_block},
	{"query-blockstats", monitor_query_blockstats},
	{"x-ebb-stat", monitor_stat},
	{"x-ebb-stats-request", monitor_stats_request},
	{"x-ebb-reclaim", monitor_reclaim},
	{"x-ebb-registers", registers},
	{"x-ebb-sysrq", sysrq},
	{NULL, NULL},
};

int monitor_init(struct monitor *monitor, struct machine *machine)
{
	*monitor = (struct monitor){
		.machine = machine,
		.balloon_changed.fd = -1,
		.stats_timer.fd = -1,
		.reclaimed.fd = -1,
		.reclaim_timer.fd = -1,
	};
	clock_gettime(CLOCK_MONOTONIC, &monitor->started);
	int error = monitor_memory_init(monitor);
	if (!error)
		error = monitor_reclaim_init(monitor);
	if (error)
		return error;
	int listener = runtime_listen(&machine->name);
	if (listener < 0)
		return listener;
	return control_server_init(&monitor->server, &machine->loop, listener, commands, monitor);
}

void monitor_release(struct monitor *monitor)
{
	monitor_reclaim_ended(monitor);
	control_server_release(monitor->server);
	monitor->server = NULL;
	monitor_reclaim_release(monitor);
	monitor_memory_release(monitor);
}
