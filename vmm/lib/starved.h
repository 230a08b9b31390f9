/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a process has waited for a processor: what is slow on a busy host tells little of the process. Others had it, or
 * other threads of the process itself, or its cgroup had used up its share (cpu.max).
 *
 * Thread: any. Source: the kernel's Documentation/scheduler/sched-stats.rst, /proc/PID/schedstat.
 */
#ifndef EBB_LIB_STARVED_H
#define EBB_LIB_STARVED_H

#include <stdint.h>
#include <sys/types.h>

/* Returns milliseconds: of that thread of @pid, of those it has now, that has waited the longest. 0 if the host does not tell. */
int64_t starved_ms(pid_t pid);

#endif
