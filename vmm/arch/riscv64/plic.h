/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PLIC, the interrupt controller of machines whose host kernel has none, with one context for
 * each processor's supervisor mode. A line that rises requests one interrupt, and another when that
 * is completed if the line is still high: this serves both edges and levels.
 *
 * Does not use KVM. Source: RISC-V Platform-Level Interrupt Controller Specification 1.0.0.
 * Threads: plic_read() and plic_write() on vCPU threads, plic_line() on any; one lock inside.
 */
#ifndef EBB_ARCH_RISCV64_PLIC_H
#define EBB_ARCH_RISCV64_PLIC_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define PLIC_SOURCES	    32 /* the bits of one word; number 0 is not a source */
#define PLIC_CONTEXT	    0x200000
#define PLIC_SIZE(contexts) (PLIC_CONTEXT + 0x1000ULL * (contexts)) /* bytes of address space */

struct plic_context {
	uint32_t enabled;
	uint32_t threshold;
	bool raised; /* the level last passed to interrupt() */
};

struct plic {
	void *ctx;
	/* Sets a context's interrupt to @level. The lock, which is held, keeps levels in order. */
	void (*interrupt)(void *ctx, unsigned int context, bool level);

	pthread_mutex_t lock;
	uint32_t priority[PLIC_SOURCES];
	/* Bitmaps of the sources. */
	uint32_t high;	  /* the line is high */
	uint32_t pending; /* requests an interrupt */
	uint32_t claimed; /* being served: requests no other interrupt until completed */
	struct plic_context *context;
	unsigned int contexts;
};

/* Returns 0 or -ENOMEM. */
int plic_init(struct plic *plic, unsigned int contexts,
	      void (*interrupt)(void *ctx, unsigned int context, bool level), void *ctx);
void plic_release(struct plic *plic);

/* An access by the guest; only accesses of whole words have an effect. */
void plic_read(struct plic *plic, uint64_t offset, void *data, unsigned int len);
void plic_write(struct plic *plic, uint64_t offset, const void *data, unsigned int len);

/* Sets the level of a source's line. Ignores a source that does not exist. */
void plic_line(struct plic *plic, unsigned int source, bool level);

#endif
