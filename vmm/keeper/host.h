/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host has: MemAvailable, the limits of the keeper's cgroup and of those above it, and PSI.
 * Guests are taken to be in the same cgroups as the keeper, as those of one user's session are.
 *
 * Thread: the keeper's. Nothing blocks. Source: Documentation/filesystems/proc.rst (meminfo),
 * admin-guide/cgroup-v2.rst (memory), accounting/psi.rst.
 */
#ifndef EBB_KEEPER_HOST_H
#define EBB_KEEPER_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/keeper/decide.h"

#define KEEPER_GROUPS_MAX 16

/* Files of a cgroup, each a descriptor, or -errno: it had none at the start, and one that comes later is not seen. */
struct keeper_group {
	int max, high, current, stat;
};

/* Files, which stay open, or -errno: they are read when no name is in reach any more. */
struct keeper_source {
	int meminfo, pressure;
	struct keeper_group group[KEEPER_GROUPS_MAX]; /* the keeper's own, and those above it */
	size_t groups;
	bool too_deep; /* there are more further up, which are left out */
	bool gone;     /* one of these was removed */
	/* When tasks had waited for memory for so many microseconds. */
	uint64_t at;
	uint64_t stalled;
};

/*
 * Opens the host's files in @proc ("/proc") and @cgroup ("/sys/fs/cgroup"), of the cgroups that this process is in now.
 * What the kernel lacks is left out. Call keeper_source_close() in any case.
 */
void keeper_source_open(struct keeper_source *source, const char *proc, const char *cgroup);
void keeper_source_close(struct keeper_source *source);

/* Reads *@host. Returns 0, or -errno without a message if there is no meminfo. */
int keeper_host_read(struct keeper_source *source, struct keeper_host *host, uint64_t now);

/*
 * Returns the share of the last 10 s in which a task waited for memory (PSI's "some"), in 1/100 of a
 * percent, or UINT64_MAX: the kernel does not tell.
 */
uint64_t keeper_host_pressure(const struct keeper_source *source);

/*
 * Opens a trigger that is urgent (EPOLLPRI) when tasks have waited for memory for a while. Returns
 * the descriptor, which the caller owns, or -errno: the kernel has none, or not for this user.
 */
int keeper_host_trigger(void);

#endif
