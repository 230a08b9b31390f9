// SPDX-License-Identifier: Apache-2.0
#include "vmm/sandbox/threads.h"

#include <errno.h>
#include <string.h>

int thread_kind(const char *name)
{
	static const char *const names[THREAD_KINDS] = {
		[THREAD_MAIN] = "main",	      [THREAD_RESTORE] = "restore",
		[THREAD_BALLOON] = "balloon", [THREAD_BLK] = "blk",
		[THREAD_NET] = "net",	      [THREAD_FS] = "fs",
		[THREAD_RNG] = "rng",	      [THREAD_PMEM] = "pmem",
		[THREAD_VSOCK] = "vsock",     [THREAD_CONSOLE] = "console",
		[THREAD_MEASURE] = "measure", [THREAD_SNAPSHOT] = "snapshot",
		[THREAD_KEEPER] = "keeper",
	};
	if (strncmp(name, "vcpu", 4) == 0)
		return THREAD_VCPU;
	for (int kind = 0; kind < THREAD_KINDS; kind++)
		if (names[kind] && strcmp(name, names[kind]) == 0)
			return kind;
	return -ENOENT;
}
