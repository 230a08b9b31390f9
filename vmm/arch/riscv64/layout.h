/* SPDX-License-Identifier: Apache-2.0 */
/* Where a riscv64 machine's interrupt controllers are; the rest is in vmm/arch/fdt/layout.h. */
#ifndef EBB_ARCH_RISCV64_LAYOUT_H
#define EBB_ARCH_RISCV64_LAYOUT_H

#define RISCV64_CPUS_MAX 512

#define RISCV64_PLIC  0x0c000000
#define RISCV64_APLIC 0x0d000000
#define RISCV64_IMSIC 0x28000000 /* a page per processor; aligned to their total size */

#endif
