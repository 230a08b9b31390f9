/* SPDX-License-Identifier: Apache-2.0 */
/* Files of the host that are memory of the guest. The option is in pmem.c. */
#ifndef EBB_CONFIG_PMEM_H
#define EBB_CONFIG_PMEM_H

#include <limits.h>
#include <stdbool.h>

#define VM_PMEMS_MAX 2

struct vm_pmem {
	char file[PATH_MAX];
	bool read_only;
};

struct vm_pmems {
	unsigned int count;
	struct vm_pmem pmem[VM_PMEMS_MAX]; /* in the order of the guest's pmem0, pmem1 */
};

#endif
