// SPDX-License-Identifier: Apache-2.0
#include "vmm/monitor/monitor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/lib/log.h"
#include "vmm/monitor/part.h"

/* In the order of their members in x-ebb-stat. */
const struct monitor_part *const monitor_parts[] = {
	&monitor_life,	   &monitor_debug, &monitor_memory, &monitor_balloon,  &monitor_lease,
	&monitor_reclaim,  &monitor_disks, &monitor_pmem,   &monitor_networks, &monitor_qom,
	&monitor_snapshot, &monitor_stat,  &monitor_vsock,  &monitor_console,
};
#define PARTS (sizeof(monitor_parts) / sizeof(monitor_parts[0]))
const size_t monitor_parts_count = PARTS;
_Static_assert(PARTS <= MONITOR_PARTS_MAX, "struct monitor has room for their states");

void *monitor_state(const struct monitor *monitor, const struct monitor_part *part)
{
	for (size_t i = 0; i < PARTS; i++)
		if (monitor_parts[i] == part)
			return monitor->state[i];
	return NULL;
}

void monitor_figures(struct monitor *monitor, json_t *stat)
{
	for (size_t i = 0; i < PARTS; i++)
		if (monitor_parts[i]->figures)
			monitor_parts[i]->figures(monitor, stat);
}

void monitor_measure_parts(struct monitor *monitor)
{
	for (size_t i = 0; i < PARTS; i++)
		if (monitor_parts[i]->measure)
			monitor_parts[i]->measure(monitor);
}

void monitor_event(struct monitor *monitor, const char *name, json_t *data)
{
	control_server_event(monitor->server, name, data);
}

json_t *monitor_answer_measured(struct monitor *monitor,
				void (*answer)(struct monitor *monitor, uint64_t command),
				struct control_error *error)
{
	int failed = measure_prepare(&monitor->measure);
	if (failed)
		return control_fail(error, "cannot measure memory and disks: %s",
				    strerror(-failed));
	measure_ask(&monitor->measure, answer, control_server_defer(monitor->server));
	return NULL;
}

void monitor_answer(struct monitor *monitor, uint64_t command, json_t *result)
{
	const struct control_error no_memory = {.text = "out of memory"};
	control_server_answer(monitor->server, command, result, &no_memory);
}

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

/* --- building ---------------------------------------------------------------------------------- */

static size_t count_commands(const struct monitor_part *part)
{
	size_t count = 0;
	while (part->commands && part->commands[count].name)
		count++;
	return count;
}

/* Joins the parts' commands. Returns 0 or -ENOMEM. */
static int join_commands(struct monitor *monitor)
{
	size_t count = 0;
	for (size_t i = 0; i < PARTS; i++)
		count += count_commands(monitor_parts[i]);
	/* The last row stays all zero: it ends the list. */
	monitor->commands = calloc(count + 1, sizeof(*monitor->commands));
	if (!monitor->commands)
		return -ENOMEM;
	struct control_command *next = monitor->commands;
	for (size_t i = 0; i < PARTS; i++)
		for (size_t n = 0; n < count_commands(monitor_parts[i]); n++)
			*next++ = monitor_parts[i]->commands[n];
	return 0;
}

/* Returns 0 or -ENOMEM. */
static int make_states(struct monitor *monitor)
{
	for (size_t i = 0; i < PARTS; i++) {
		if (!monitor_parts[i]->state_size)
			continue;
		monitor->state[i] = calloc(1, monitor_parts[i]->state_size);
		if (!monitor->state[i])
			return -ENOMEM;
	}
	return 0;
}

static int add_read_only(struct monitor *monitor)
{
	const struct vm_control *control = &monitor->machine->config->control;
	struct control_door door;
	if (!*control->path)
		return 0;
	int error = read_only_listen(&monitor->read_only, control->path, control->group, &door);
	return error ? error : control_server_add_door(monitor->server, &door);
}

int monitor_init(struct monitor *monitor, struct machine *machine, struct runtime_name *name)
{
	*monitor = (struct monitor){.machine = machine, .read_only = READ_ONLY_NONE};
	int error = measure_init(&monitor->measure, monitor);
	if (!error)
		error = saver_init(&monitor->saver, monitor);
	if (error)
		return error;
	error = join_commands(monitor);
	if (!error)
		error = make_states(monitor);
	if (error) {
		log_error(
			"cannot set up the control socket's commands: the host has no memory left");
		return error;
	}
	for (size_t i = 0; i < PARTS && !error; i++) {
		monitor->built++;
		if (monitor_parts[i]->init)
			error = monitor_parts[i]->init(monitor);
	}
	if (error)
		return error;
	int listener = runtime_listen(name);
	if (listener < 0)
		return listener;
	error = control_server_init(&monitor->server, &machine->loop, listener, name->directory,
				    monitor->commands, monitor);
	return error ? error : add_read_only(monitor);
}

int monitor_start(struct monitor *monitor, const struct worker_guard *guard)
{
	int error = measure_start(&monitor->measure, guard);
	return error ? error : saver_start(&monitor->saver, guard);
}

void monitor_ended(struct monitor *monitor, enum machine_end end)
{
	for (size_t i = 0; i < PARTS; i++)
		if (monitor_parts[i]->ended)
			monitor_parts[i]->ended(monitor, end);
}

bool monitor_release(struct monitor *monitor)
{
	control_server_release(monitor->server);
	monitor->server = NULL;
	read_only_release(&monitor->read_only);
	/* A device's worker that hangs may still call a part when it continues. */
	bool ended = saver_release(&monitor->saver);
	ended = measure_release(&monitor->measure) && ended;
	if (!ended || monitor->machine->hangs)
		return false;
	while (monitor->built > 0) {
		const struct monitor_part *part = monitor_parts[--monitor->built];
		if (part->release)
			part->release(monitor);
	}
	for (size_t i = 0; i < PARTS; i++)
		free(monitor->state[i]);
	free(monitor->commands);
	monitor->commands = NULL;
	return true;
}
