/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's firmware calls that KVM passes on: the serial port for a kernel that has no driver
 * for it yet, a character at a time (SBI 0.1) or through memory (the debug console, DBCN, of SBI
 * 2.0). Every other call is answered as not supported.
 *
 * Does not use KVM. Source: RISC-V Supervisor Binary Interface Specification 2.0, chapters 3, 5
 * and 12.
 * Threads: any vCPU's.
 */
#ifndef EBB_ARCH_RISCV64_SBI_H
#define EBB_ARCH_RISCV64_SBI_H

#include <stdint.h>

#include "devices/bus.h"
#include "vmm/mem/ram.h"

#define SBI_PUTCHAR 0x01
#define SBI_GETCHAR 0x02
#define SBI_DEBUG   0x4442434e /* "DBCN" */

/* The debug console's functions. */
#define SBI_DEBUG_WRITE	     0
#define SBI_DEBUG_READ	     1
#define SBI_DEBUG_WRITE_BYTE 2

#define SBI_NOT_SUPPORTED (-2)
#define SBI_INVALID_PARAM (-3)

/* The most bytes that one call writes or reads. The answer has the actual number. */
#define SBI_DEBUG_MAX 256

#define SBI_ARGUMENTS 6

struct sbi_call {
	uint64_t extension, function;
	uint64_t argument[SBI_ARGUMENTS];
};

struct sbi_answer {
	int64_t error; /* 0 or one of the above; SBI 0.1: 0, a character, or -1 for none */
	int64_t value;
};

/* Executes @call and returns its answer. */
struct sbi_answer sbi_answer(const struct sbi_call *call, const struct bus *mmio,
			     const struct ram *ram);

#endif
