/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PVH entry, for a payload that other VMMs start too: 32-bit protected mode, no paging,
 * ebx → struct hvm_start_info (Xen, public/arch-x86/hvm/start_info.h). It goes on to _start as ebb's
 * 64-bit entry does, with boot parameters that hold the command line and nothing else.
 */
#define NOTE_PHYS32_ENTRY 18
#define START_COMMAND	  0x18 /* of hvm_start_info */
#define PARAMS_COMMAND	  0x228 /* of boot_params, see lib.c */

#define CODE_64 0x08
#define DATA	0x10

	.section .pvh_note, "a", @note
	.balign	4
	.long	4, 4, NOTE_PHYS32_ENTRY
	.asciz	"Xen"
	.long	pvh_start

	.text
	.code32
pvh_start:
	cli
	mov	START_COMMAND(%ebx), %eax
	mov	%eax, pvh_params + PARAMS_COMMAND
	mov	$0x20, %eax /* PAE */
	mov	%eax, %cr4
	mov	$page_map, %eax
	mov	%eax, %cr3
	mov	$0xc0000080, %ecx /* EFER */
	mov	$0x100, %eax	  /* LME */
	xor	%edx, %edx
	wrmsr
	lgdt	pvh_gdt_pointer
	mov	$0x80000011, %eax /* PG, ET, PE */
	mov	%eax, %cr0
	ljmp	$CODE_64, $pvh_64

	.code64
pvh_64:
	mov	$DATA, %eax
	mov	%eax, %ss
	mov	%eax, %ds
	mov	%eax, %es
	mov	$pvh_params, %esi
	jmp	_start

	.data
	.balign	16
pvh_gdt:
	.quad	0
	.quad	0x00af9b000000ffff
	.quad	0x00cf93000000ffff
pvh_gdt_end:
pvh_gdt_pointer:
	.word	pvh_gdt_end - pvh_gdt - 1
	.long	pvh_gdt

	.bss
	.balign	4096
pvh_params:
	.fill	4096

	.section .note.GNU-stack, "", @progbits
