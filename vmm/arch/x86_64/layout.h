/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PC's guest-physical addresses, its ports and its interrupt lines.
 *
 *   0            … 0x9fc00      RAM; below 0x40000 ebb's boot structures, which the kernel copies early
 *   0x9fc00      … 0x100000     reserved for firmware: ACPI tables at 0xe0000, the generation and the reset vector at its end
 *   1 MiB        … ≤ 3 GiB      RAM; the kernel, the initrd behind it
 *   3 GiB        … 4 GiB        the hole: virtio-mmio, I/O APIC, local APIC, KVM's TSS
 *   4 GiB        …              the rest of the RAM
 */
#ifndef EBB_ARCH_X86_64_LAYOUT_H
#define EBB_ARCH_X86_64_LAYOUT_H

#define LAYOUT_GDT	    0x00000500
#define LAYOUT_PVH_INFO	    0x00006000 /* one page: start info, module list, memory map */
#define LAYOUT_BOOT_PARAMS  0x00007000 /* one page: the "zero page" */
#define LAYOUT_PAGE_TABLES  0x00009000 /* six pages: 4 GiB mapped one to one */
#define LAYOUT_COMMAND_LINE 0x00020000
#define LAYOUT_COMMAND_MAX  0x00010000
#define LAYOUT_LOW_END	    0x0009fc00 /* end of RAM below 1 MiB */
#define LAYOUT_ACPI	    0x000e0000 /* 16-byte aligned, where kernels look for the RSDP */
#define LAYOUT_ACPI_END	    0x000fff00
#define LAYOUT_GENERATION   0x000fff00 /* in the page of the reset vector, which is written anyway */
#define LAYOUT_RESET_VECTOR                                                                        \
	0x000ffff0 /* f000:fff0, where a guest jumps to make the firmware reset the machine */
#define LAYOUT_HIGH	  0x00100000 /* RAM from 1 MiB */
#define LAYOUT_HOLE	  0xc0000000ULL
#define LAYOUT_HOLE_END	  0x100000000ULL
#define LAYOUT_VIRTIO	  0xd0000000
#define LAYOUT_IOAPIC	  0xfec00000
#define LAYOUT_LOCAL_APIC 0xfee00000
#define LAYOUT_KVM_IDENTITY                                                                        \
	0xfeffc000 /* one page, for processors that cannot run real mode in a guest */
#define LAYOUT_KVM_TSS 0xfeffd000 /* three pages, likewise */

#define PORT_I8042_STATUS 0x64 /* reads as idle; writing 0xfe resets */
#define PORT_CMOS	  0x70
#define PORT_SERIAL	  0x3f8
#define PORT_PVPANIC	  0x505
#define PORT_PM1_EVENT	  0x600 /* status and enable, 2 bytes each */
#define PORT_PM1_CONTROL  0x604
#define PORT_GPE	  0x608 /* ACPI's general events: status and enable, 1 byte each */
#define PORT_RESET	  0xcf9 /* reset control of Intel's chipsets, without the PCI ports around it */

#define GSI_SERIAL  4
#define GSI_VIRTIO  5 /* and up, except the two below */
#define GSI_CLOCK   8
#define GSI_SCI	    9
#define GSI_ISA_END 16 /* from here on only ACPI can describe lines to a kernel */
#define GSI_END	    24 /* end of the I/O APIC's lines */

#define I8042_RESET   0xfe
#define RESET_CPU     0x04
#define SLEEP_TYPE_S5 5

#define GPE_GENERATION 0 /* an event: there is a new generation */

#endif
