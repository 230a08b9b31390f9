// SPDX-License-Identifier: Apache-2.0
/* Figures of files that are the guest's memory. */
#include <stdio.h>

#include "vmm/lib/json.h"
#include "vmm/machine/device_pmem.h"
#include "vmm/machine/machine.h"
#include "vmm/mem/usage.h"
#include "vmm/monitor/part.h"

static json_t *figures_object(const struct pmem *pmem, unsigned int number,
			      const struct window_usage *usage)
{
	const struct pmem_region *region = pmem->region;
	char name[16];

	snprintf(name, sizeof(name), "pmem%u", number);
	return json_pack("{s:s, s:o, s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:o}", "pmem", name, "file",
			 json_text(region->file), "size", json_count(region->size), "read-only",
			 region->read_only, "rss", json_count(usage->rss), "pss",
			 json_count(usage->pss), "copied", json_count(usage->copied), "flushes",
			 json_count(pmem->flushes), "errors", json_count(pmem->failed), "refused",
			 json_count(pmem->refused));
}

static void pmem_figures(struct monitor *monitor, json_t *stat)
{
	const struct ram_usage *usage = monitor_usage(monitor);
	json_t *list = json_array();
	const struct pmem_device *device;
	for (unsigned int i = 0; (device = machine_pmem(monitor->machine, i)); i++)
		json_array_append_new(list, figures_object(&device->pmem, i, &usage->window[i]));
	json_object_set_new(stat, "pmem", list);
}

const struct monitor_part monitor_pmem = {.name = "pmem", .figures = pmem_figures};
