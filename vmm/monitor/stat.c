// SPDX-License-Identifier: Apache-2.0
/* x-ebb-stat: the figures of all parts. */
#include "vmm/monitor/part.h"

static json_t *figures(struct monitor *monitor)
{
	json_t *stat = json_object();
	if (stat)
		monitor_figures(monitor, stat);
	return stat;
}

static void answer_stat(struct monitor *monitor, uint64_t command)
{
	monitor_answer(monitor, command, figures(monitor));
}

/* An exporter that asks without end has ebb measure once a second. */
static json_t *stat_for_exporter(struct monitor *monitor)
{
	if (measure_is_fresh(&monitor->measure))
		return figures(monitor);
	measure_ask_any(&monitor->measure, answer_stat, control_server_defer(monitor->server));
	return NULL;
}

static json_t *stat(void *ctx, const json_t *arguments, struct control_error *error)
{
	struct monitor *monitor = ctx;

	(void)arguments;
	if (control_server_only_reads(monitor->server) && measure_prepare(&monitor->measure) == 0)
		return stat_for_exporter(monitor);
	return monitor_answer_measured(ctx, answer_stat, error);
}

static const struct control_command commands[] = {
	{"x-ebb-stat", CONTROL_READS, stat},
	{},
};

const struct monitor_part monitor_stat = {.name = "stat", .commands = commands};
