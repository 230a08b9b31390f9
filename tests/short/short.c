// SPDX-License-Identifier: Apache-2.0
/*
 * ebb on a host that is as short of memory as a test wants: its keeper reads meminfo, cgroups and
 * PSI below $EBB_TEST_HOST. It gets no trigger, but for the descriptor $EBB_TEST_TRIGGER; with that
 * one it never looks at the host by itself.
 */
#include <errno.h>
#include <stdlib.h>

#include "vmm/keeper/host.h"
#include "vmm/lib/clock.h"

void __real_keeper_source_open(struct keeper_source *source, const char *proc, const char *cgroup);
void __wrap_keeper_source_open(struct keeper_source *source, const char *proc, const char *cgroup);
int __wrap_keeper_host_trigger(void);
uint64_t __real_keeper_host_pause(const struct keeper_policy *policy,
				  const struct keeper_host *host);
uint64_t __wrap_keeper_host_pause(const struct keeper_policy *policy,
				  const struct keeper_host *host);

void __wrap_keeper_source_open(struct keeper_source *source, const char *proc, const char *cgroup)
{
	(void)proc, (void)cgroup;
	__real_keeper_source_open(source, getenv("EBB_TEST_HOST"), getenv("EBB_TEST_HOST"));
}

int __wrap_keeper_host_trigger(void)
{
	const char *trigger = getenv("EBB_TEST_TRIGGER");
	return trigger ? atoi(trigger) : -ENOENT;
}

uint64_t __wrap_keeper_host_pause(const struct keeper_policy *policy,
				  const struct keeper_host *host)
{
	return getenv("EBB_TEST_TRIGGER") ? 24 * 3600 * NS_PER_S
					  : __real_keeper_host_pause(policy, host);
}
