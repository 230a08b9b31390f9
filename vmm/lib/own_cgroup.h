/* SPDX-License-Identifier: Apache-2.0 */
/* Which cgroup (version 2) a process is in. Thread: any. Source: cgroups(7). */
#ifndef EBB_LIB_OWN_CGROUP_H
#define EBB_LIB_OWN_CGROUP_H

/*
 * Returns the path of a process's cgroup, which is in @text, its /proc/PID/cgroup: that is cut off behind it. NULL if there is
 * none, or it is outside of this process's cgroup namespace, so that no path leads to it.
 */
char *own_cgroup(char *text);

#endif
