/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From ebb's 64-bit entry (ring 0, 4 GiB mapped for ring 0 only, rsi → boot_params) to C in ring 3.
 *
 * Ring 3, because a KVM that emulates what a guest's kernel runs does run its user code natively.
 * It may do all that a payload needs: all memory is mapped for users, up to 16 GiB one to one, and
 * IOPL is 3, so the ports are open (or look so, see protection_entry). Hence little is done here,
 * and with simple instructions: the tables are made by the assembler, or later by C. Segments have
 * the numbers that Linux gives them.
 *
 * Ring 0 is left for interrupts (counted, acknowledged at the local APIC), for exceptions (said and
 * given up), and for ring0_hook() where a payload has one.
 */
#define KERNEL_CODE 0x10
#define KERNEL_DATA 0x18
#define USER_DATA   0x2b
#define USER_CODE   0x33
#define TSS_FIRST   0x40 /* one for each CPU, 16 bytes each */
#define TSS_SIZE    0x68

#define RFLAGS_USER 0x3202 /* IOPL 3, interrupts on */
#define STACK_SIZE  0x4000

#define LOCAL_APIC_EOI 0xfee000b0
#define TRAMPOLINE     0x10000 /* lib.c copies the trampoline there */

#define IDLE_TURNS 1000

#define PAGE_TABLE 0x007 /* present, writable, user */
#define PAGE_2M	   0x087
#define MAPPED_GIB 16

	.section .text.start, "ax"
	.globl _start
_start:
	mov	%rsi, boot_params(%rip)
	lea	page_map(%rip), %rax
	mov	%rax, %cr3
	lgdt	gdt_pointer(%rip)
	lidt	idt_pointer(%rip)
	lea	kernel_stack_0_end(%rip), %rsp

	lea	tss_0(%rip), %rax
	lea	gdt+TSS_FIRST(%rip), %rbx
	call	tss_place
	lea	tss_1(%rip), %rax
	lea	gdt+TSS_FIRST+16(%rip), %rbx
	call	tss_place
	mov	$TSS_FIRST, %eax
	ltr	%ax

	xor	%edi, %edi
	call	ring0
	lea	user_stack_0_end(%rip), %rax
	lea	payload_start(%rip), %rcx
	jmp	to_user

/* Calls ring0_hook(), if there is one, with the CPU's number in edi. */
ring0:
	mov	$ring0_hook, %rax
	test	%rax, %rax
	jz	1f
	call	*%rax
1:	ret
	.weak	ring0_hook

/* The TSS descriptor at rbx gets the base rax. Leaves rax changed. */
tss_place:
	mov	%ax, 2(%rbx)
	shr	$16, %rax
	mov	%al, 4(%rbx)
	shr	$8, %rax
	mov	%al, 7(%rbx)
	ret

/* On to rcx in ring 3 with the stack rax, as if called. */
to_user:
	push	$USER_DATA
	sub	$8, %rax
	push	%rax
	push	$RFLAGS_USER
	push	$USER_CODE
	push	%rcx
	iretq

/*
 * The other CPU begins here, in real mode at TRAMPOLINE, and takes the shortest way to where the
 * first one began. Everything before the long jump is addressed from TRAMPOLINE.
 */
	.globl	trampoline, trampoline_end
	.code16
trampoline:
	cli
	mov	%cs, %ax
	mov	%ax, %ds
	lgdtl	trampoline_gdt - trampoline
	mov	$0x20, %eax /* PAE */
	mov	%eax, %cr4
	mov	$page_map, %eax
	mov	%eax, %cr3
	mov	$0xc0000080, %ecx /* EFER */
	mov	$0x100, %eax	  /* LME */
	xor	%edx, %edx
	wrmsr
	mov	$0x80000011, %eax /* PG, ET, PE */
	mov	%eax, %cr0
	ljmpl	*(trampoline_target - trampoline)
trampoline_target:
	.long	cpu1_start
	.word	KERNEL_CODE
trampoline_gdt:
	.word	gdt_end - gdt - 1
	.long	gdt
trampoline_end:

	.code64
cpu1_start:
	mov	$KERNEL_DATA, %eax
	mov	%eax, %ss
	mov	%eax, %ds
	mov	%eax, %es
	lgdt	gdt_pointer(%rip)
	lidt	idt_pointer(%rip)
	lea	kernel_stack_1_end(%rip), %rsp
	mov	$TSS_FIRST + 16, %eax
	ltr	%ax
	mov	$1, %edi
	call	ring0
	lea	user_stack_1_end(%rip), %rax
	lea	payload_cpu1(%rip), %rcx
	jmp	to_user

/* --- interrupts ------------------------------------------------------------------------------- */

	.globl	interrupt_entry
interrupt_entry:
	push	%rax
	incl	interrupts(%rip)
	incl	interrupt_depth(%rip)
	cmpl	$1, interrupt_depth(%rip)
	je	1f
	incl	interrupts_nested(%rip)
1:	cmpl	$0, interrupt_length(%rip)
	je	2f
	call	idle
2:	decl	interrupt_depth(%rip)
	mov	$LOCAL_APIC_EOI, %eax
	movl	$0, (%rax)
	pop	%rax
	iretq

/*
 * Lasts interrupt_length ticks of the clock, whatever one turn costs here; leaves rax changed. It looks at the clock
 * seldom, so that an emulated processor executes the turns in between as it does other code.
 */
idle:
	push	%rbx
	push	%rcx
	push	%rdx
	call	clock
	mov	%rax, %rbx
1:	mov	$IDLE_TURNS, %ecx
2:	dec	%ecx
	jnz	2b
	call	clock
	sub	%rbx, %rax
	mov	interrupt_length(%rip), %ecx
	cmp	%rcx, %rax
	jb	1b
	pop	%rdx
	pop	%rcx
	pop	%rbx
	ret

/* The clock, in rax; leaves rdx changed. */
clock:
	rdtsc
	shl	$32, %rdx
	or	%rdx, %rax
	ret

/*
 * A KVM that runs ring 3 natively, with an IOPL of its own, refuses port instructions there. Then
 * the instruction is copied and executed here, in ring 0. By the first CPU only: there is one copy.
 * Known are those with the port in dx, of all widths, with and without `rep`.
 */
	.globl	protection_entry
protection_entry:
	push	%rax
	push	%rbx
	push	%rcx
	mov	32(%rsp), %rax /* the instruction's address, above the error code */
	lea	port_instruction(%rip), %rbx
1:	mov	(%rax), %cl
	mov	%cl, (%rbx)
	inc	%rax
	inc	%rbx
	cmp	$0x66, %cl
	je	1b
	cmp	$0xf3, %cl
	je	1b
	and	$0xfc, %cl
	cmp	$0xec, %cl /* in, out */
	je	2f
	cmp	$0x6c, %cl /* ins, outs */
	je	2f
	pop	%rcx
	pop	%rbx
	pop	%rax
	push	$13
	jmp	exception_common
2:	movb	$0xc3, (%rbx) /* ret */
	mov	%rax, 32(%rsp)
	pop	%rcx
	pop	%rbx
	pop	%rax
	call	port_instruction
	add	$8, %rsp
	iretq

	/* What the processor raises by itself: 0 … 31, in equal steps of 16 bytes. */
	.globl	exception_entries
	.balign	16
exception_entries:
	.set	vector, 0
	.rept	32
	.balign	16
	/* These come with an error code, the others get one. */
	.if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
	push	$0
	.endif
	push	$vector
	jmp	exception_common
	.set	vector, vector + 1
	.endr
exception_common:
	mov	%rsp, %rdi
	and	$-16, %rsp
	call	exception
	hlt

/* --- tables ------------------------------------------------------------------------------------ */

	.data
	.globl	page_map
	.balign	4096
page_map:
	.quad	page_directory_pointers + PAGE_TABLE
	.fill	511, 8, 0
page_directory_pointers:
	.set	i, 0
	.rept	MAPPED_GIB
	.quad	page_directories + i * 4096 + PAGE_TABLE
	.set	i, i + 1
	.endr
	.fill	512 - MAPPED_GIB, 8, 0
page_directories:
	.set	i, 0
	.rept	MAPPED_GIB * 512
	.quad	i * 0x200000 + PAGE_2M
	.set	i, i + 1
	.endr

	.balign	16
gdt:
	.quad	0, 0
	.quad	0x00af9b000000ffff /* 0x10: ring 0, 64-bit code */
	.quad	0x00cf93000000ffff /* 0x18: ring 0, data */
	.quad	0x00cffb000000ffff /* 0x20: ring 3, 32-bit code */
	.quad	0x00cff3000000ffff /* 0x28: ring 3, data */
	.quad	0x00affb000000ffff /* 0x30: ring 3, 64-bit code */
	.quad	0
	.quad	0x0000890000000000 + TSS_SIZE - 1, 0 /* 0x40 */
	.quad	0x0000890000000000 + TSS_SIZE - 1, 0 /* 0x50 */
gdt_end:

	.globl	idt
	.balign	16
idt:
	.fill	2 * 256, 8, 0
idt_end:

gdt_pointer:
	.word	gdt_end - gdt - 1
	.quad	gdt
idt_pointer:
	.word	idt_end - idt - 1
	.quad	idt

port_instruction:
	.fill	16, 1, 0

	/* Only the stack for ring 0 matters; no map of ports (its offset is the end). */
	.macro	tss name, stack
	.balign	16
\name:
	.long	0
	.quad	\stack
	.fill	90, 1, 0
	.word	TSS_SIZE
	.endm
	tss	tss_0, kernel_stack_0_end
	tss	tss_1, kernel_stack_1_end

	.bss
interrupt_depth:
	.long	0
	.balign	16
	.fill	STACK_SIZE
kernel_stack_0_end:
	.fill	STACK_SIZE
kernel_stack_1_end:
	.fill	STACK_SIZE
user_stack_0_end:
	.fill	STACK_SIZE
user_stack_1_end:

	.section .note.GNU-stack, "", @progbits
