// SPDX-License-Identifier: Apache-2.0
#include "vmm/sandbox/cores.h"

#include <errno.h>
#include <stdint.h>
#include <sys/prctl.h>

int cores_separate(void)
{
	return prctl(PR_SCHED_CORE, PR_SCHED_CORE_CREATE, 0, PR_SCHED_CORE_SCOPE_THREAD_GROUP, 0) <
			       0
		       ? -errno
		       : 0;
}

int cores_probe(void)
{
	uint64_t cookie;
	return prctl(PR_SCHED_CORE, PR_SCHED_CORE_GET, 0, PR_SCHED_CORE_SCOPE_THREAD, &cookie) < 0
		       ? -errno
		       : 0;
}
