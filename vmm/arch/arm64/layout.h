/* SPDX-License-Identifier: Apache-2.0 */
/* Where an arm64 machine's interrupt controller is; the rest is in vmm/arch/fdt/layout.h. */
#ifndef EBB_ARCH_ARM64_LAYOUT_H
#define EBB_ARCH_ARM64_LAYOUT_H

#define ARM64_CPUS_MAX 512

#define ARM64_GICD	0x08000000 /* the distributor */
#define ARM64_GICD_SIZE 0x00010000
#define ARM64_GICC	0x08010000 /* GICv2: the CPU interface */
#define ARM64_GICC_SIZE 0x00002000
#define ARM64_GICR	0x0a000000 /* GICv3: the redistributors, one after another */
#define ARM64_GICR_SIZE 0x00020000 /* of each redistributor */

#define ARM64_PPI     16 /* the first of a processor's private interrupts */
#define ARM64_PPI_PMU 7

#define ARM64_SPI 32 /* the first shared interrupt: line 0 */

#endif
