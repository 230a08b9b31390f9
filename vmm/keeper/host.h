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

#include <stdint.h>

#include "vmm/keeper/decide.h"

struct keeper_source {
	const char *proc;   /* "/proc" */
	const char *cgroup; /* "/sys/fs/cgroup" */
	/* Starts as zeros: when tasks had waited for memory for so many microseconds. */
	uint64_t at;
	uint64_t stalled;
};

/*
 * Reads *@host. Returns 0, or -errno without a message if there is no meminfo; what else the kernel
 * lacks is left out.
 */
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
int keeper_host_trigger(const struct keeper_source *source);

#endif
