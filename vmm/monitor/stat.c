// SPDX-License-Identifier: Apache-2.0
/* x-ebb-stat: the figures of all parts. */
#include "vmm/monitor/part.h"

static void answer_stat(struct monitor *monitor, uint64_t command)
{
	json_t *stat = json_object();
	if (stat)
		monitor_figures(monitor, stat);
	monitor_answer(monitor, command, stat);
}

static json_t *stat(void *ctx, const json_t *arguments, struct control_error *error)
{
	(void)arguments;
	return monitor_answer_measured(ctx, answer_stat, error);
}

static const struct control_command commands[] = {
	{"x-ebb-stat", CONTROL_READS, stat},
	{},
};

const struct monitor_part monitor_stat = {.name = "stat", .commands = commands};
