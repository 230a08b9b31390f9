/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting a kernel that is handed a device tree: its Image read and placed, the tree and the initrd
 * behind it.
 *
 * Thread: main, while the machine is built.
 */
#ifndef EBB_ARCH_FDT_BOOT_H
#define EBB_ARCH_FDT_BOOT_H

#include "vmm/arch/arch.h"
#include "vmm/arch/fdt/image.h"
#include "vmm/arch/fdt/tree.h"

/*
 * *@entry: where the kernel starts, and the gpa of its tree. Returns 0 or -errno having said what is
 * wrong and what to do.
 */
int fdt_boot_load(const struct arch_boot *boot, unsigned int cpus, enum fdt_kind kind,
		  const struct fdt_arch *arch, struct arch_entry *entry);

#endif
