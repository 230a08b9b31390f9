// SPDX-License-Identifier: Apache-2.0
/* Guest RAM, and its cost to the host. */
#include "vmm/lib/json.h"
#include "vmm/mem/discard.h"
#include "vmm/mem/private_file.h"
#include "vmm/mem/usage.h"
#include "vmm/monitor/part.h"

struct memory {
	struct ram_usage usage;
};

/* Ignores errors: missing figures must not hide the others. The last ones are nearer to the truth than 0. */
static void memory_measure(struct monitor *monitor)
{
	struct memory *memory = monitor_state(monitor, &monitor_memory);
	struct ram_usage usage;

	if (!ram_usage(&monitor->machine->ram, &usage))
		memory->usage = usage;
}

const struct ram_usage *monitor_usage(const struct monitor *monitor)
{
	const struct memory *memory = monitor_state(monitor, &monitor_memory);
	return &memory->usage;
}

uint64_t monitor_resident(const struct monitor *monitor)
{
	const struct memory *memory = monitor_state(monitor, &monitor_memory);
	return memory->usage.rss;
}

static void memory_figures(struct monitor *monitor, json_t *stat)
{
	static const char *const backing[] = {
		[RAM_ANON] = "anon", [RAM_MEMFD] = "memfd", [RAM_HUGETLBFS] = "hugetlbfs"};
	static const char *const discard[] = {
		[DISCARD_DONTNEED] = "dontneed", [DISCARD_FREE] = "free"};
	const struct memory *memory = monitor_state(monitor, &monitor_memory);
	const struct ram_usage *usage = &memory->usage;
	const struct ram *ram = &monitor->machine->ram;
	uint64_t zeroed = ram->private_file ? private_file_zeroed(ram->private_file) : 0;

	json_t *answer =
		json_pack("{s:o, s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "size",
			  json_count(ram_size(ram)), "backing", backing[ram->backing], "page-size",
			  json_count(ram->page_size), "discard", discard[ram->discard], "rss",
			  json_count(usage->rss), "pss", json_count(usage->pss), "huge",
			  json_count(usage->huge), "lazy-free", json_count(usage->lazyfree), "swap",
			  json_count(usage->swap), "locked", json_count(usage->locked), "inhibits",
			  json_count(ram_discard_inhibits(ram)), "zeroed", json_count(zeroed));
	/* Of a file of its own smaps calls nothing anonymous. */
	if (ram->backing == RAM_ANON)
		json_object_set_new(answer, "own", json_count(usage->own));
	/* A private mapping of the snapshot's file, or a copy of it. */
	if (monitor->machine->config->boot.restore)
		json_object_set_new(answer, "restored",
				    json_string(ram->private_file ? "mapping" : "copy"));
	json_object_set_new(stat, "memory", answer);
}

const struct monitor_part monitor_memory = {
	.name = "memory",
	.state_size = sizeof(struct memory),
	.measure = memory_measure,
	.figures = memory_figures,
};
