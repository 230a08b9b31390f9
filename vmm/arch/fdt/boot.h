/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads a kernel that gets a device tree: reads and places its Image, with the tree and the initrd
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
 * Sets *@entry to the kernel's entry, with the gpa of its tree. Returns 0, or -errno after an error
 * message.
 */
int fdt_boot_load(const struct arch_boot *boot, unsigned int cpus, enum fdt_kind kind,
		  const struct fdt_arch *arch, struct arch_entry *entry);

#endif
