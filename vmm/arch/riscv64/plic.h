/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interrupt controller of machines whose host has none in its kernel: a PLIC with one context for
 * each processor's supervisor mode. A line that rises asks for one interrupt, and for another once that
 * is completed if it is still high: edges and levels are both served.
 *
 * Knows no KVM. Source: RISC-V Platform-Level Interrupt Controller Specification 1.0.0.
 * Threads: plic_read() and plic_write() on vCPUs', plic_line() on any; one lock inside.
 */
#ifndef EBB_ARCH_RISCV64_PLIC_H
#define EBB_ARCH_RISCV64_PLIC_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define PLIC_SOURCES	    32 /* 0 is none; as many as one word has bits */
#define PLIC_CONTEXT	    0x200000
#define PLIC_SIZE(contexts) (PLIC_CONTEXT + 0x1000ULL * (contexts)) /* bytes of address space */

struct plic_context {
	uint32_t enabled;
	uint32_t threshold;
	bool raised; /* as last told */
};

struct plic {
	void *ctx;
	/* A context's interrupt is to be @level; with the lock held, so that levels keep their order. */
	void (*interrupt)(void *ctx, unsigned int context, bool level);

	pthread_mutex_t lock;
	uint32_t priority[PLIC_SOURCES];
	/* A bit for each source. */
	uint32_t high;	  /* the line is */
	uint32_t pending; /* it asks for an interrupt */
	uint32_t claimed; /* one is being served: no other comes before it is completed */
	struct plic_context *context;
	unsigned int contexts;
};

/* Returns 0 or -ENOMEM. */
int plic_init(struct plic *plic, unsigned int contexts,
	      void (*interrupt)(void *ctx, unsigned int context, bool level), void *ctx);
void plic_release(struct plic *plic);

/* An access of the guest's; only words answer. */
void plic_read(struct plic *plic, uint64_t offset, void *data, unsigned int len);
void plic_write(struct plic *plic, uint64_t offset, const void *data, unsigned int len);

/* The level of a source's line; of one that there is not: nothing. */
void plic_line(struct plic *plic, unsigned int source, bool level);

#endif
