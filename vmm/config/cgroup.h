/* SPDX-License-Identifier: Apache-2.0 */
/* The cgroup of a guest's own. The option is in cgroup.c. */
#ifndef EBB_CONFIG_CGROUP_H
#define EBB_CONFIG_CGROUP_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * What the processes of a guest take beyond its RAM, by default: a 64th of the RAM for page tables and KVM's own
 * figures (about a 128th), and this much for ebb, what serves the devices, and their files in the page cache.
 */
#define VM_CGROUP_MORE	  (UINT64_C(256) << 20)
#define VM_CGROUP_AUTO	  "auto"
#define VM_CGROUP_CPU_MAX 1000000

struct vm_cgroup {
	bool wanted;
	bool automatic;	  /* ebb is to choose @path */
	bool entered;	  /* @path is a scope that this process is in */
	uint64_t memory;  /* bytes that its processes may take, once of memory and once of swap */
	unsigned int cpu; /* percent of one CPU's time; 0: as much as there is */
	char path[PATH_MAX]; /* of the cgroup in which it is made */
};

#endif
