/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's RAM. The options are in memory.c. */
#ifndef EBB_CONFIG_MEMORY_H
#define EBB_CONFIG_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/mem/ram.h"

/* Bytes that a guest needs at least, and that a balloon leaves it. */
#define VM_MEMORY_MIN	  (UINT64_C(16) << 20)
#define VM_NUMA_NODES_MAX 1024

struct vm_memory {
	uint64_t size; /* bytes, a multiple of 1 MiB */
	enum ram_backing backing;
	const char *hugetlbfs; /* where RAM_HUGETLBFS is mounted, or NULL: wherever */
	bool prealloc;	       /* have all memory from the start */
	bool lock;	       /* and keep it from being swapped out */
	enum discard_kind discard;
	int numa_node; /* that memory comes from, or -1 */
};

#endif
