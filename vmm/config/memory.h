/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's RAM. The options are in memory.c. */
#ifndef EBB_CONFIG_MEMORY_H
#define EBB_CONFIG_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/mem/ram.h"

/* The fewest bytes that a guest may have, and that a balloon must leave to it. */
#define VM_MEMORY_MIN	  (UINT64_C(16) << 20)
#define VM_NUMA_NODES_MAX 1024

/* What to do when a keeper runs and says that the guest would not fit. */
enum vm_admit { VM_ADMIT_WARN, VM_ADMIT_STRICT, VM_ADMIT_OFF };

struct vm_memory {
	uint64_t size; /* bytes, a multiple of 1 MiB */
	enum ram_backing backing;
	bool backing_given;    /* else one that suits the devices is taken */
	const char *hugetlbfs; /* the mount to use for RAM_HUGETLBFS, or NULL: any */
	bool prealloc;	       /* allocate all memory at the start */
	bool lock;	       /* lock memory, so that it is not swapped out */
	enum discard_kind discard;
	enum vm_admit admit;
	int numa_node; /* the host's node to take memory from, or -1: any */
};

#endif
