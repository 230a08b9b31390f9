/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest-physical addresses and interrupt lines that the architectures with a device tree share.
 *
 *   0      … 2 GiB   devices; an architecture's own are in its folder
 *   2 GiB  …         RAM, in one piece: only the processor's address size limits it
 */
#ifndef EBB_ARCH_FDT_LAYOUT_H
#define EBB_ARCH_FDT_LAYOUT_H

#define FDT_SERIAL  0x01000000
#define FDT_PVPANIC 0x01001000
#define FDT_CLOCK   0x01002000
#define FDT_VIRTIO  0x02000000 /* and up */
#define FDT_RAM	    0x80000000ULL

/* A PLIC has no line 0. */
#define FDT_GSI_SERIAL 1
#define FDT_GSI_POWER  2
#define FDT_GSI_CLOCK  3  /* never raised: none of our clocks has an alarm */
#define FDT_GSI_VIRTIO 4  /* and up */
#define FDT_GSI_END    32 /* one more than the last line that every machine has */

#endif
