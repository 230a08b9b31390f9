// SPDX-License-Identifier: Apache-2.0
/*
 * ebb on a host that is as short of memory as a test wants: its keeper reads meminfo, cgroups and
 * PSI below $EBB_TEST_HOST, and gets no trigger.
 */
#include <errno.h>
#include <stdlib.h>

#include "vmm/keeper/host.h"

int __real_keeper_host_read(struct keeper_source *source, struct keeper_host *host, uint64_t now);
int __wrap_keeper_host_read(struct keeper_source *source, struct keeper_host *host, uint64_t now);
int __wrap_keeper_host_trigger(const struct keeper_source *source);

int __wrap_keeper_host_read(struct keeper_source *source, struct keeper_host *host, uint64_t now)
{
	source->proc = source->cgroup = getenv("EBB_TEST_HOST");
	return __real_keeper_host_read(source, host, now);
}

int __wrap_keeper_host_trigger(const struct keeper_source *source)
{
	(void)source;
	return -ENOENT;
}
