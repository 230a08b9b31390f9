// SPDX-License-Identifier: Apache-2.0
/* Checks where guests' memory comes from: RAM, overcommit, swap, cgroups, nodes. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "vmm/doctor/doctor.h"
#include "vmm/lib/cpulist.h"
#include "vmm/lib/options.h"
#include "vmm/lib/text.h"

static void look_at_total(struct findings *findings, const struct doctor_host *host)
{
	char meminfo[DOCTOR_FILE_MAX];
	char total_text[TEXT_SIZE_MAX];
	char available_text[TEXT_SIZE_MAX];
	uint64_t total;
	uint64_t available;
	if (!doctor_read(host, "/proc/meminfo", meminfo, sizeof(meminfo)) ||
	    !doctor_line(meminfo, "MemTotal", 10, &total) ||
	    !doctor_line(meminfo, "MemAvailable", 10, &available))
		return;
	finding_add(findings, FINDING_OK, "memory",
		    "guests may have more in all, as long as they do not use it all", NULL,
		    "%s, of which %s are available", text_size(total_text, total * 1024),
		    text_size(available_text, available * 1024));
}

static void look_at_overcommit(struct findings *findings, const struct doctor_host *host)
{
	uint64_t policy;
	if (!doctor_number(host, "/proc/sys/vm/overcommit_memory", &policy))
		return;
	if (policy == 2)
		finding_add(findings, FINDING_WARN, "overcommit",
			    "the host reserves all of a guest's memory, used or not, and refuses "
			    "guests beyond its limit",
			    "sysctl vm.overcommit_memory=0", "vm.overcommit_memory is 2");
	else
		finding_add(findings, FINDING_OK, "overcommit",
			    "a guest uses the host's memory only as it touches its own", NULL,
			    "vm.overcommit_memory is %llu", (unsigned long long)policy);
}

static void look_at_swap(struct findings *findings, const struct doctor_host *host)
{
	char swaps[DOCTOR_FILE_MAX];
	unsigned int count = 0;
	unsigned int zram = 0;
	if (!doctor_read(host, "/proc/swaps", swaps, sizeof(swaps)))
		return;
	/* Skip the heading. */
	for (const char *line = strchr(swaps, '\n'); line && line[1];
	     line = strchr(line + 1, '\n')) {
		count++;
		zram += strncmp(line + 1, "/dev/zram", 9) == 0;
	}
	if (count == 0)
		finding_add(findings, FINDING_WARN, "swap",
			    "if guests use more than the host has, the kernel kills one of them",
			    "modprobe zram; zramctl -f -s 4G; mkswap /dev/zram0; swapon /dev/zram0",
			    "none");
	else
		finding_add(findings, FINDING_OK, "swap",
			    "helps when many guests grow at the same time", NULL,
			    "%u area%s, %u of them zram", count, count == 1 ? "" : "s", zram);
}

static void look_at_ksm(struct findings *findings, const struct doctor_host *host)
{
	uint64_t run;
	if (doctor_number(host, "/sys/kernel/mm/ksm/run", &run))
		finding_add(findings, FINDING_OK, "KSM",
			    "ebb does not ask for guests' memory to be merged", NULL, "%s",
			    run == 1 ? "on" : "off");
}

/* --- cgroups --------------------------------------------------------------------------------- */

static const struct {
	const char *file;
	const char *means;
	const char *change;
} limits[] = {
	{"memory.max", "above it the kernel kills a guest, or another process under the same limit",
	 "echo max > that file"},
	{"memory.high", "above it the kernel slows guests down and reclaims their memory",
	 "echo max > that file"},
	{"memory.swap.max", "guests cannot use more swap than this", "echo max > that file"},
};

static unsigned int look_at_cgroup(struct findings *findings, const struct doctor_host *host,
				   const char *directory)
{
	unsigned int found = 0;
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		char path[PATH_MAX + 32];
		char text[32];
		char shown[96];
		char size[TEXT_SIZE_MAX];
		uint64_t bytes;
		snprintf(path, sizeof(path), "%s/%s", directory, limits[i].file);
		if (!doctor_read(host, path, text, sizeof(text)) ||
		    options_number(text, &bytes, NULL) != 0)
			continue; /* "max" */
		found++;
		finding_add(findings, FINDING_WARN, "cgroup", limits[i].means, limits[i].change,
			    "%s is %s", text_escape(shown, sizeof(shown), path, false),
			    text_size(size, bytes));
	}
	return found;
}

/* Looks at ebb's own cgroup and all above it: a limit on any of them applies. */
static void look_at_cgroups(struct findings *findings, const struct doctor_host *host)
{
	char text[DOCTOR_FILE_MAX];
	char directory[PATH_MAX];
	if (!doctor_read(host, "/sys/fs/cgroup/cgroup.controllers", text, sizeof(text)) ||
	    !strstr(text, "memory")) {
		finding_add(findings, FINDING_OK, "cgroup", "guests are not limited", NULL,
			    "cgroup v2 does not control memory here");
		return;
	}
	if (!doctor_own_cgroup(host, directory, sizeof(directory)))
		return;
	unsigned int found = 0;
	while (strlen(directory) > strlen(DOCTOR_CGROUPS)) {
		if (directory[strlen(directory) - 1] != '/')
			found += look_at_cgroup(findings, host, directory);
		*strrchr(directory, '/') = '\0';
	}
	if (found == 0)
		finding_add(findings, FINDING_OK, "cgroup", "guests are not limited", NULL,
			    "no memory limit from here up to the root");
}

/* --- nodes ----------------------------------------------------------------------------------- */

static void look_at_nodes(struct findings *findings, const struct doctor_host *host)
{
	char text[256];
	struct cpulist nodes;
	uint64_t balancing = 0;
	if (!doctor_read(host, "/sys/devices/system/node/online", text, sizeof(text)) ||
	    cpulist_parse(&nodes, text) != 0)
		return;
	doctor_number(host, "/proc/sys/kernel/numa_balancing", &balancing);
	if (nodes.count == 1)
		finding_add(findings, FINDING_OK, "NUMA", "all memory is equally near", NULL,
			    "one node");
	else if (balancing)
		finding_add(findings, FINDING_WARN, "NUMA",
			    "the kernel slows guests down: it unmaps and moves their pages",
			    "sysctl kernel.numa_balancing=0 (or --numa-node and --vcpu-affinity)",
			    "%u nodes, with balancing", nodes.count);
	else
		finding_add(findings, FINDING_OK, "NUMA",
			    "--numa-node and --vcpu-affinity keep a guest on one of them", NULL,
			    "%u nodes, without balancing", nodes.count);
}

void doctor_memory(struct findings *findings, const struct doctor_host *host)
{
	look_at_total(findings, host);
	look_at_overcommit(findings, host);
	look_at_swap(findings, host);
	look_at_cgroups(findings, host);
	look_at_nodes(findings, host);
	look_at_ksm(findings, host);
}
