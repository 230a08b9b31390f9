// SPDX-License-Identifier: Apache-2.0
/*
 * ebb on a host that is as short of memory as a test wants: its keeper reads meminfo, cgroups and
 * PSI below $EBB_TEST_HOST, and gets no trigger.
 */
#include <errno.h>
#include <stdlib.h>

#include "vmm/keeper/host.h"

void __real_keeper_source_open(struct keeper_source *source, const char *proc, const char *cgroup);
void __wrap_keeper_source_open(struct keeper_source *source, const char *proc, const char *cgroup);
int __wrap_keeper_host_trigger(void);

void __wrap_keeper_source_open(struct keeper_source *source, const char *proc, const char *cgroup)
{
	(void)proc, (void)cgroup;
	__real_keeper_source_open(source, getenv("EBB_TEST_HOST"), getenv("EBB_TEST_HOST"));
}

int __wrap_keeper_host_trigger(void)
{
	return -ENOENT;
}
